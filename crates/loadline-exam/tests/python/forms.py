"""Strict JSON, digests, moments, hybrid keys and envelopes.

Written from docs/formats/{dsse,keys,root}.md.
"""

import base64
import binascii
import hashlib
import json
import re
from datetime import datetime, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from dilithium_py.ml_dsa import ML_DSA_44

LARGEST = 2**53 - 1


class Wrong(Exception):
    """What does not hold, in words."""


def need(holds, words):
    """Ends the step with these words unless it holds."""
    if not holds:
        raise Wrong(words)


def refuse_number(text):
    raise Wrong(f"a float: {text[:40]}")


def whole_number(text):
    need(len(text) <= 20, "an integer that is too large")
    number = int(text)
    need(-LARGEST <= number <= LARGEST, "an integer that is too large")
    return number


def fields_once(pairs):
    names = [name for name, _ in pairs]
    need(len(set(names)) == len(names), "a repeated field")
    return dict(pairs)


def in_order(value):
    """The value with the fields in the order of RFC 8785: by UTF-16 code units."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return {name: in_order(value[name]) for name in names}
    if isinstance(value, list):
        return [in_order(each) for each in value]
    return value


def canonical(value):
    """Canonical JSON (RFC 8785) of a value without floats."""
    return json.dumps(in_order(value), ensure_ascii=False, separators=(",", ":")).encode()


def read_json(data):
    """Reads JSON that is canonical and has no floats."""
    try:
        value = json.loads(
            data.decode(),
            parse_float=refuse_number,
            parse_constant=refuse_number,
            parse_int=whole_number,
            object_pairs_hook=fields_once,
        )
        same = canonical(value) == data
    except (ValueError, RecursionError) as error:
        raise Wrong(f"no JSON: {error}") from error
    need(same, "not canonical JSON")
    return value


def fields(value, required, optional=()):
    """The value is an object with these fields and no others."""
    need(isinstance(value, dict), "not an object")
    missing = set(required) - set(value)
    more = set(value) - set(required) - set(optional)
    need(not missing and not more, f"missing {sorted(missing)}, unknown {sorted(more)}")
    return value


def sha(data):
    return hashlib.sha256(data).digest()


def named(data):
    """The digest as it is written in documents."""
    return "sha256:" + sha(data).hex()


def raw(text):
    """The 32 bytes of a written digest."""
    need(isinstance(text, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", text), f"no digest: {text!r}")
    return bytes.fromhex(text[7:])


def of_parts(domain, *parts):
    """SHA-256 over a domain and parts, each after its length as 8 big-endian bytes."""
    state = hashlib.sha256()
    for part in (domain.encode(), *parts):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()


def number(value, least=0):
    need(type(value) is int and value >= least, f"not a whole number from {least} on: {value!r}")
    return value


def moment(text):
    """Seconds since 1970 of `2026-11-23T12:00:00Z`, the one form."""
    form = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
    need(isinstance(text, str) and re.fullmatch(form, text), f"no moment: {text!r}")
    try:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp())
    except ValueError as error:
        raise Wrong(f"no moment: {text}") from error


def unbase64(text):
    """Canonical base64: padding, no stray bits, nothing else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError, binascii.Error) as error:
        raise Wrong("no base64") from error
    need(base64.b64encode(data).decode() == text, "base64 in another form")
    return data


PRIME = 2**255 - 19
# y of the points of order 1, 2, 4 and 8 (edwards25519); the sign of x does not matter.
SMALL_ORDER = {
    1,
    PRIME - 1,
    0,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
}


def ed25519_holds(key, message, signature):
    """Strict: neither the key nor R is of small order or in another form; OpenSSL refuses a large S."""
    for point in (key, signature[:32]):
        y = int.from_bytes(point, "little") & ((1 << 255) - 1)
        if y >= PRIME or y in SMALL_ORDER:
            return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


KNOWN = {}


def ml_dsa_holds(key, message, signature):
    """ML-DSA-44, pure, with an empty context. What was checked once is not checked again."""
    what = sha(key + sha(message) + signature)
    if what not in KNOWN:
        try:
            KNOWN[what] = ML_DSA_44.verify(key, message, signature)
        except (ValueError, IndexError):
            KNOWN[what] = False
    return KNOWN[what]


class Key:
    """A hybrid public key of a root."""

    def __init__(self, value):
        fields(value, ["ed25519", "ml_dsa_44", "name"])
        self.name = value["name"]
        need(isinstance(self.name, str) and re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", self.name), "a key's name")
        self.ed25519, self.ml_dsa = unbase64(value["ed25519"]), unbase64(value["ml_dsa_44"])
        need(len(self.ed25519) == 32 and len(self.ml_dsa) == 1312, f"key {self.name} has another length")
        self.id = of_parts("loadline/key/1", self.ed25519, self.ml_dsa).hex()


class Envelope:
    """A DSSE envelope in its one form; nothing is known of its signatures yet."""

    def __init__(self, data, payload_type):
        value = fields(read_json(data), ["payload", "payloadType", "signatures"])
        need(value["payloadType"] == payload_type, f"payload type {value['payloadType']!r}")
        self.payload = unbase64(value["payload"])
        need(len(self.payload) <= 2 << 20, "the payload is too large")
        self.message = b"DSSEv1 %d %s %d " % (len(payload_type), payload_type.encode(), len(self.payload))
        self.message += self.payload
        need(isinstance(value["signatures"], list), "`signatures` is no list")
        halves = {"ed25519": {}, "ml-dsa-44": {}}
        ids = []
        for signature in value["signatures"]:
            fields(signature, ["keyid", "sig"])
            need(isinstance(signature["keyid"], str), "`keyid` is no text")
            ids.append(signature["keyid"])
            scheme, _, key = signature["keyid"].partition(":")
            need(scheme in halves and re.fullmatch("[0-9a-f]{64}", key), f"key id {signature['keyid']!r}")
            halves[scheme][key] = unbase64(signature["sig"])
        need(ids == sorted(set(ids)), "signatures are not in order")
        need(halves["ed25519"].keys() == halves["ml-dsa-44"].keys(), "a signer with one half only")
        need(1 <= len(halves["ed25519"]) <= 32, "no signer or too many")
        self.halves = halves
        self.signers = list(halves["ed25519"])
        self.digest = named(self.payload)
        self.content = read_json(self.payload)

    def holds(self, keys, *roles):
        """Every signature is by one of the roles' keys and holds; each role has enough of them.

        A role is `(threshold, ids)`; keys are those of all roots concerned, by id.
        """
        allowed = set().union(*(ids for _, ids in roles))
        for signer in self.signers:
            need(signer in allowed and signer in keys, f"{signer[:12]} is not one of the keys that may sign this")
            key = keys[signer]
            first, second = self.halves["ed25519"][signer], self.halves["ml-dsa-44"][signer]
            need(len(first) == 64 and ed25519_holds(key.ed25519, self.message, first), f"Ed25519 of {key.name}")
            need(len(second) == 2420 and ml_dsa_holds(key.ml_dsa, self.message, second), f"ML-DSA of {key.name}")
        for threshold, ids in roles:
            need(len(set(self.signers) & set(ids)) >= threshold, "fewer signatures than the threshold")
        return self.content


ROLES = ["root", "authority", "examiner", "standing", "stop", "red_team", "external_auditor", "scientist"]


class Root:
    """One version of the root file."""

    def __init__(self, envelope):
        value = envelope.content
        required = ["format", "version", "issued", "expires", "keys", "roles", "log_policy"]
        fields(value, required, ["previous"])
        need(value["format"] == "loadline-root/1", "`format`")
        self.digest, self.version = envelope.digest, number(value["version"], 1)
        self.previous = value.get("previous")
        self.issued, self.expires = moment(value["issued"]), moment(value["expires"])
        need(self.issued <= self.expires, "it expires before it is issued")
        need(isinstance(value["keys"], dict) and 1 <= len(value["keys"]) <= 64, "`keys`")
        self.keys = {name: Key(key) for name, key in value["keys"].items()}
        need(all(name == key.id for name, key in self.keys.items()), "a key under another id")
        need(len({key.name for key in self.keys.values()}) == len(self.keys), "two keys of one name")
        need(isinstance(value["roles"], dict) and "root" in value["roles"], "no role `root`")
        self.roles = {}
        for role, members in value["roles"].items():
            need(role in ROLES, f"role {role!r}")
            ids = fields(members, ["keyids", "threshold"])["keyids"]
            need(isinstance(ids, list) and all(each in self.keys for each in ids), f"keys of role {role}")
            need(ids == sorted(set(ids)), f"keys of role {role} are not in order")
            need(1 <= number(members["threshold"]) <= len(ids), f"threshold of role {role}")
            self.roles[role] = (members["threshold"], ids)
        used = {key for _, ids in self.roles.values() for key in ids}
        need(used == set(self.keys), "a key without a role")
        self.log_policy = value["log_policy"]
        need(isinstance(self.log_policy, str), "`log_policy`")

    def role(self, name):
        need(name in self.roles, f"nobody holds the role {name}")
        return self.roles[name]

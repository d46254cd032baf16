"""A second verifier of `license.bundle`, for tests only, written from docs/formats and not from the Rust code.

Where the two disagreed and no page decided it, the page was completed first.

    verify.py BUNDLE --now 2026-11-02T02:00:00Z [--root sha256:…] [--standing FILE]
    verify.py --batch JOBS.json

Prints a JSON line for each bundle: whether it holds, and every step. A job is `{bundle, now, root?, standing?, epoch?}`.
"""

import argparse
import json
import re
import sys

import outcome
from container import read_container
from forms import LARGEST, Envelope, Root, Wrong, canonical, fields, moment, named, need, number, of_parts, raw, read_json
from records import Record
from tlog import Policy, consistent, included, read_proof

STEPS = "container roots policy model log order seed attestation records items scores counts scope".split()
STEPS += "sign_offs decision license svr validity standing".split()
NOT_IMPLEMENTED = {
    "items": "needs the suites",
    "scores": "needs the suites' scorers",
    "scope": "the verdicts are taken from the decision; of the packs only the digests are compared",
}
IN_TOTO = "application/vnd.in-toto+json"

ENTRY_FIELDS = {
    "root": (["version", "digest"], []),
    "policy": (["name", "version", "digest"], []),
    "commitment": (["policy", "secret_hash"], []),
    "registration": (["model", "name", "identity", "commitment", "follows", "nonce"], ["compute"]),
    "start": (["exam", "registration", "commitment", "model", "policy", "attempt", "at"], ["previous", "witnessed"]),
    "resume": (["exam", "at"], []),
    "finish": (["exam", "start", "attestation", "secret", "records", "at"], ["resumes"]),
    "license": (["license", "model", "stage", "at"], []),
    "revoke": (["license", "reason", "at"], []),
    "suspend": (["license", "reason", "at"], []),
    "reinstate": (["license", "reason", "at"], []),
    "stage": (["model", "from", "to", "reason", "transition", "at"], ["license"]),
    "drill": (["drill", "gate", "model", "streams", "last_byte_ms", "bytes_after", "at"], []),
}
DIGESTS = "digest policy secret_hash model nonce compute exam attestation license transition drill".split()
STAGES = "internal red_team external_audit academic limited general weights_released".split()
CLOSED = ("draft", "suspended", "withdrawn")


def read_entry(data):
    need(len(data) <= 65_535, "an entry that is too large")
    entry = read_json(data)
    need(isinstance(entry, dict) and entry.get("kind") in ENTRY_FIELDS, "no entry")
    required, optional = ENTRY_FIELDS[entry["kind"]]
    fields(entry, ["format", "kind", *required], optional)
    need(entry["format"] == "loadline-entry/1", "`format`")
    for name, value in entry.items():
        if name in DIGESTS:
            raw(value)
        elif name == "at":
            moment(value)
        elif name in ("from", "to"):
            need(value in STAGES or value in CLOSED, f"`{name}`")
        elif name in ("registration commitment start attempt previous resumes streams last_byte_ms bytes_after").split() or (
            name == "version" and entry["kind"] == "root"
        ):
            number(value)
        elif name == "witnessed":
            need(isinstance(value, str), "`witnessed` is no text")
    return entry


class Check:
    """One bundle being verified; each method is a step."""

    def __init__(self, data, job):
        self.data, self.job, self.now = data, job, moment(job["now"])
        self.standing_bytes = job.get("standing_bytes")

    def container(self):
        self.parts = read_container(self.data)

    def roots(self):
        self.chain = []
        self.keys = {}
        for i, name in enumerate(n for n in self.parts if n.startswith("roots/")):
            envelope = Envelope(self.parts[name], "application/vnd.loadline.root+json")
            root = Root(envelope)
            need(root.version == i + 1, f"{name} is version {root.version}")
            signed_by = [root.role("root")]
            if self.chain:
                before = self.chain[-1]
                need(root.previous == before.digest and root.issued >= before.issued, f"{name} does not follow")
                signed_by.append(before.role("root"))
            else:
                need(root.previous is None, "version 1 names one before")
            self.keys.update(root.keys)
            envelope.holds(self.keys, *signed_by)
            self.chain.append(root)
        self.newest = self.chain[-1]
        need(self.newest.issued <= self.now + 60, "the newest root is issued in the future")
        self.authority = self.chain[0].digest
        need(self.job.get("root") in (None, self.authority), "another root is pinned")

    def policy(self):
        self.rules = fields(
            read_json(self.parts["policy.json"]),
            "format name version purpose identity max_age_days blocks_from valid_days survey_days stages tests".split(),
            ["assurance", "scope", "attempts", "drill"],
        )
        need(self.rules["format"] == "loadline-policy/1", "`format`")
        self.policy_digest = named(self.parts["policy.json"])

    def model(self):
        data = self.parts["model/manifest.json"]
        self.model_digest = named(data)
        value = fields(read_json(data), ["_type", "predicate", "predicateType", "subject"])
        need(value["_type"] == "https://in-toto.io/Statement/v1", "`_type`")
        need(isinstance(value["subject"], list) and len(value["subject"]) == 1, "`subject`")
        subject = fields(value["subject"][0], ["digest", "name"])
        self.model_name, predicate = subject["name"], value["predicate"]
        self.remote = value["predicateType"] == "https://loadline.dev/remote-model/v1"
        if self.remote:
            fields(predicate, ["name", "provider"], ["endpoint"])
            digest = named(canonical(predicate))
        else:
            need(value["predicateType"] == "https://model_signing/signature/v1.0", "`predicateType`")
            digest = self.weights(predicate)
        need(fields(subject["digest"], ["sha256"])["sha256"] == digest[7:], "the subject's digest")

    def weights(self, predicate):
        fields(predicate, ["resources", "serialization"])
        how = fields(predicate["serialization"], ["allow_symlinks", "hash_type", "ignore_paths", "method"])
        need((how["hash_type"], how["method"]) == ("sha256", "files"), "`serialization`")
        need(type(how["allow_symlinks"]) is bool and isinstance(how["ignore_paths"], list), "`serialization`")
        names, digests = [], b""
        for each in predicate["resources"]:
            fields(each, ["algorithm", "digest", "name"])
            need(each["algorithm"] == "sha256", "`algorithm`")
            digests += raw("sha256:" + each["digest"])
            names.append(each["name"])
            need(not {"", ".", ".."} & set(each["name"].split("/")), f"the name {each['name']!r}")
        need(1 <= len(names) <= 10_000 and names == sorted(set(names)), "`resources`")
        return named(digests)

    def log(self):
        policy = Policy(self.newest.log_policy)
        self.entries, notes = {}, set()
        for name in self.parts:
            if name.startswith("log/entries/"):
                index = int(name[12:-5])
                self.entries[index] = read_entry(self.parts[name])
                given, path, note = read_proof(self.parts[f"log/proofs/{index}.tlog-proof"])
                notes.add(note)
                need(len(notes) == 1, f"the proof of {index} is against another checkpoint")
                if len(self.entries) == 1:
                    self.origin, size, root, self.signed = policy.accept(note)
                need(given == index, f"the proof of {index} is for {given}")
                included(self.parts[name], index, size, path, root)
        need(self.entries, "no log entry")
        names = ["checkpoint", "checkpoint_to_last", "follows_to_checkpoint", "format"]
        value = fields(read_json(self.parts["log/registration.consistency"]), names)
        need(value["format"] == "loadline-consistency/1", "`format`")
        self.checkpoint = fields(value["checkpoint"], ["origin", "root", "size"])
        state = (number(self.checkpoint["size"], 1), raw(self.checkpoint["root"]))
        need(self.checkpoint["origin"] == self.origin, "`origin`")
        consistent(state, (size, root), [raw(each) for each in value["checkpoint_to_last"]])
        follows = self.one("registration", last=True)[1]["follows"]
        before = (number(fields(follows, ["root", "size"])["size"]), raw(follows["root"]))
        consistent(before, state, [raw(each) for each in value["follows_to_checkpoint"]])

    def all(self, *kinds):
        return [(index, entry) for index, entry in self.entries.items() if entry["kind"] in kinds]

    def one(self, kind, last=False):
        found = self.all(kind)
        need(found and (last or len(found) == 1), f"no entry or more than one of kind {kind}")
        return found[-1]

    def order(self):
        given = [(entry["version"], entry["digest"]) for _, entry in self.all("root")]
        need(given == [(root.version, root.digest) for root in self.chain], "roots in the log")
        at, entry = self.one("policy")
        ref = {"digest": self.policy_digest, "name": self.rules["name"], "version": self.rules["version"]}
        need({name: entry[name] for name in ref} == ref, "another policy in the log")
        self.policy_ref = ref
        self.registration_at, self.registration = self.one("registration")
        self.finish_at, self.finish = self.one("finish")
        self.start_at = self.finish["start"]
        starts = dict(self.all("start"))
        need(self.start_at in starts, "the finished start is not there")
        self.start = starts[self.start_at]
        commitments = dict(self.all("commitment"))
        self.commitment_at = self.start["commitment"]
        need(self.commitment_at in commitments, "the commitment is not there")
        self.commitment = commitments[self.commitment_at]
        need(at < self.commitment_at < self.registration_at < self.start_at < self.finish_at, "order of entries")
        need(self.commitment["policy"] == self.policy_digest, "a commitment for another policy")
        need(self.registration["commitment"] == self.commitment_at, "a registration under another commitment")
        need(self.registration["model"] == self.model_digest, "a registration of another model")
        need(self.registration["name"] == self.model_name, "a registration of another name")
        identity = self.registration["identity"]
        need(identity in ("verified", "self_reported", "inferred", "absent"), "`identity`")
        need(not (self.remote and identity == "verified"), "a remote model that is verified")
        compute = self.parts.get("model/compute.json")
        need(self.registration.get("compute") == (named(compute) if compute is not None else None), "`compute`")
        need(self.registration["follows"]["size"] == self.registration_at, "the registration is not the next entry")
        self.attempts(starts, commitments)
        if "witnessed" in self.start:
            others = [at for at in range(self.registration_at + 1, self.start_at) if at not in dict(self.all("root"))]
            need(not others, "the start is not right after its registration")
            need("resumes" in self.finish, "an end that does not count the interruptions")
        exam = self.start["exam"]
        need(self.finish["exam"] == exam, "another exam is finished")
        for index, entry in self.all("resume"):
            need(entry["exam"] == exam and self.start_at < index < self.finish_at, "`resume` of another exam")
            need(moment(entry["at"]) >= moment(self.start["at"]), "`resume` before the start")
        need(self.finish.get("resumes", len(self.all("resume"))) == len(self.all("resume")), "`resumes`")
        need(moment(self.start["at"]) <= moment(self.finish["at"]), "it ends before it begins")
        self.stages()
        self.order_of_license()

    def stages(self):
        """Each goes on where the one before ended."""
        self.stands, since = "draft", 0
        for _, entry in self.all("stage"):
            need(entry["model"] == self.model_digest, "the stage of another model")
            need(entry["from"] == self.stands and moment(entry["at"]) >= since, "a stage that does not go on")
            need(self.stands not in ("weights_released", "withdrawn") and entry["to"] != self.stands, "no such way")
            up = entry["to"] in STAGES and (self.stands in CLOSED or STAGES.index(entry["to"]) > STAGES.index(self.stands))
            need(up == ("license" in entry), "a promotion names a licence, and nothing else does")
            self.stands, since = entry["to"], moment(entry["at"])

    def attempts(self, starts, shown):
        start, at, seen, commitments, secrets = self.start, self.start_at, set(), set(), set()
        need((start["commitment"], start["registration"]) == (self.commitment_at, self.registration_at), "another start")
        while True:
            seen.add(at)
            need((start["model"], start["policy"]) == (self.model_digest, self.policy_digest), "a start of something else")
            numbers = [start["commitment"], start["registration"], start["attempt"]]
            parts = [raw(start["model"]), raw(start["policy"]), *(each.to_bytes(8, "big") for each in numbers)]
            need(raw(start["exam"]) == of_parts("loadline/exam/id/1", *parts), "`exam`")
            need(start["commitment"] not in commitments, "two attempts under one commitment")
            need(start["commitment"] < start["registration"] < at, "order of an attempt")
            commitments.add(start["commitment"])
            if start["commitment"] in shown:
                entry = shown[start["commitment"]]
                need(entry["policy"] == self.policy_digest, "a commitment for another policy")
                need(entry["secret_hash"] not in secrets, "two attempts with one secret")
                secrets.add(entry["secret_hash"])
            else:
                need("witnessed" not in self.start, "the commitment of an earlier attempt is not there")
            previous = start.get("previous")
            need((previous is None) == (start["attempt"] == 1), "attempt 1 has none before, and every other has")
            if previous is None:
                break
            need(previous in starts and previous < start["registration"], "the attempt before is not there")
            need(starts[previous]["attempt"] == start["attempt"] - 1, "an attempt is left out")
            need(moment(starts[previous]["at"]) <= moment(start["at"]), "an attempt before the one before")
            need("witnessed" in start or "witnessed" not in starts[previous], "a start that is not witnessed any more")
            start, at = starts[previous], previous
        need(seen == set(starts), "a start that is not of the chain")
        need(set(shown) <= commitments, "a commitment that is not of the chain")

    def order_of_license(self):
        found = self.all("license")
        self.license_at = None
        if "license.json" not in self.parts:
            need(not found and not self.all("revoke", "suspend", "reinstate"), "a licence in the log only")
            return
        self.license_at, self.license_entry = self.one("license")
        need(self.license_at > self.finish_at, "a licence before the exam's end")
        need(moment(self.license_entry["at"]) >= moment(self.finish["at"]), "a licence before the exam's end")
        for index, entry in self.all("revoke", "suspend", "reinstate"):
            need(entry["license"] == self.license_entry["license"] and index > self.license_at, "a change of another licence")

    def in_force(self, index):
        """The root that was in force right before an entry."""
        version = max((entry["version"] for at, entry in self.all("root") if at < index), default=None)
        need(version is not None, "no root was in force")
        return self.chain[version - 1]

    def seed(self):
        need(re.fullmatch("[0-9a-f]{64}", self.finish["secret"]), "`secret`")
        secret = bytes.fromhex(self.finish["secret"])
        need(of_parts("loadline/exam/secret/1", secret) == raw(self.commitment["secret_hash"]), "another secret")
        text = outcome.checkpoint_text(self.checkpoint)
        insists = self.job.get("witnessed")
        parts = [secret, text, raw(self.policy_digest), raw(self.model_digest)]
        if "witnessed" not in self.start:
            need(not insists, "no cosignatures")
            need(self.checkpoint["size"] == self.registration_at + 1, "the checkpoint is not right after the registration")
            self.seed_bytes = of_parts("loadline/exam/seed/1", *parts)
            return
        policy = Policy(self.in_force(self.start_at).log_policy)
        state, moments, cosignatures = policy.witnessed(self.start["witnessed"])
        need(state == (self.origin, self.checkpoint["size"], raw(self.checkpoint["root"])), "witnessed: another state")
        need(self.checkpoint["size"] == self.start_at, "the checkpoint is not right before the start")
        need(cosignatures or not insists, "no cosignatures")
        began = moment(self.start["at"])
        need(all(began - 120 <= each <= began + 60 for each in moments), "not cosigned when the exam began")
        need(not moments or max(moments) - min(moments) <= 15, "cosignatures that are too far apart")
        self.seed_bytes = of_parts("loadline/exam/seed/2", *parts, *cosignatures)

    def statement(self, name, predicate_type, role, at):
        envelope = Envelope(self.parts[name], IN_TOTO)
        root = self.in_force(at)
        value = fields(envelope.holds(root.keys, root.role(role)), ["_type", "predicate", "predicateType", "subject"])
        need(value["_type"] == "https://in-toto.io/Statement/v1", "`_type`")
        need(value["predicateType"] == predicate_type, "`predicateType`")
        subject = [{"digest": {"sha256": self.model_digest[7:]}, "name": self.model_name}]
        need(value["subject"] == subject, "`subject`")
        return envelope.digest, value["predicate"]

    def attestation(self):
        kind = "https://loadline.dev/exam/v1"
        digest, exam = self.statement("exam/attestation.json", kind, "examiner", self.finish_at)
        need(digest == self.finish["attestation"], "the log finishes with another attestation")
        fields(exam, "attempt checkpoint commitment exam policy program registration start tests".split())
        expected = {
            "attempt": self.start["attempt"],
            "checkpoint": self.checkpoint,
            "commitment": self.commitment_at,
            "exam": self.start["exam"],
            "policy": self.policy_ref,
            "registration": self.registration_at,
            "start": self.start_at,
        }
        for name, value in expected.items():
            need(exam[name] == value, f"`{name}`")
        known = {test["id"]: i for i, test in enumerate(self.rules["tests"])}
        places = [known[each["test"]] for each in exam["tests"]]
        need(places and places == sorted(set(places)), "`tests` are not in the order of the policy")
        self.tests = [self.rules["tests"][place] for place in places]
        records = [{"record": each["record"], "test": each["test"]} for each in exam["tests"]]
        need(self.finish["records"] == records, "the log names other records")
        for each in exam["tests"]:
            fields(each, "counts finished record rows run started test".split())
            fields(each["counts"], ["scored", "successes", "unscored"])
            need(each["counts"]["successes"] <= each["counts"]["scored"], "`counts`")
            times = [self.start["at"], each["started"], each["finished"], self.finish["at"]]
            need(sorted(map(moment, times)) == [*map(moment, times)], f"{each['test']} was not asked during the exam")
        self.exam, self.attestation_digest = exam, digest
        kind = "https://in-toto.io/attestation/test-result/v0.1"
        _, result = self.statement("exam/test-result.json", kind, "examiner", self.finish_at)
        outcome.check_test_result(result, self)

    def records(self):
        names = [name for name in self.parts if name.startswith("records/") and name.endswith("/log")]
        need(len(names) == len(self.exam["tests"]), "a record for each test")
        self.sealed, self.answered = [], {}
        for i, (name, given, test) in enumerate(zip(names, self.exam["tests"], self.tests)):
            need(name == f"records/{i + 1}-{given['run']}/log", f"{name} is another run than the attested one")
            record = Record(self.parts[name], self.parts[name[:-3] + "seal.json"], given["run"])
            need((record.rows, record.root) == (given["rows"], given["record"]), f"{name} has another root than the attested one")
            spec = record.spec
            need(spec["samples"] == test["n"], f"{name}: `samples`")
            self.who(spec)
            if "suite" in test["source"]:
                seed = of_parts("loadline/exam/test/1", self.seed_bytes, test["id"].encode())
                need(spec["seed"] == int.from_bytes(seed[:8], "big") >> 11 <= LARGEST, f"{name}: `seed`")
            self.sealed.append(record)

    def who(self, spec):
        """Who answered is the registered model, and the same in every record."""
        need((spec["model"], spec["identity"]) == self.answered.setdefault("by", (spec["model"], spec["identity"])), "who answered")
        if self.remote:
            return
        weights, verified = spec["identity"].get("weights"), self.registration["identity"] == "verified"
        files = [f"sha256:{each['digest']}" for each in read_json(self.parts["model/manifest.json"])["predicate"]["resources"]]
        need(weights in files or (weights is None and not verified), "other weights answered")
        need(not verified or spec["identity"]["basis"] == "verified", "the weights that answered are not verified")

    def counts(self):
        for record, given, test in zip(self.sealed, self.exam["tests"], self.tests):
            outcome.check_counts(record, given["counts"], test)

    def sign_offs(self):
        self.signed_off, self.sign_off_ids = [], []
        root = self.in_force(self.license_at or max(self.entries) + 1)
        for name in self.parts:
            if name.startswith("sign-offs/"):
                envelope = Envelope(self.parts[name], "application/vnd.loadline.sign-off+json")
                need(len(envelope.signers) == 1, f"{name} has more than one signer")
                role = envelope.content.get("role")
                value = fields(
                    envelope.holds(root.keys, (1, root.role(role)[1])),
                    "approves at attestation format policy role stage subject".split(),
                )
                known = value["format"] in ("loadline-sign-off/1", "loadline-sign-off/2")
                need(known and type(value["approves"]) is bool, f"{name}: form")
                need(value["attestation"] == self.attestation_digest, f"{name} is about another exam")
                name = raw(envelope.digest)
                if value["format"] == "loadline-sign-off/2":
                    name = of_parts("loadline/sign-off/2", name, bytes.fromhex(envelope.signers[0]))
                self.sign_off_ids.append(("sign-off-" + name.hex()[:12], value["role"]))
                self.signed_off.append((envelope.signers[0], moment(value["at"]), value))

    def decision(self):
        outcome.read_drill(self)
        self.decided = outcome.check_decision(self)

    def license(self):
        if self.license_at is None:
            return
        need(self.decided["outcome"] == "allow", "a licence without an allow")
        digest, value = self.statement("license.json", "https://loadline.dev/license/v1", "authority", self.license_at)
        need(digest == self.license_entry["license"], "another licence is logged")
        need(self.license_entry["model"] == self.model_digest, "a licence of another model is logged")
        outcome.check_license(value, self)
        self.licensed, self.license_digest = value, digest

    def svr(self):
        if self.license_at is not None:
            kind = "https://in-toto.io/attestation/svr/v0.1"
            _, value = self.statement("svr.json", kind, "authority", self.license_at)
            outcome.check_svr(value, self.licensed)

    def validity(self):
        need(self.now <= self.newest.expires, "the newest root expired")
        for name, at in self.signed.items():
            need(at <= self.now + 60, f"witness {name} cosigned in the future")
        if self.license_at is not None:
            span = self.licensed["validity"]["value"]
            need(moment(span["not_before"]) <= self.now <= moment(span["expires"]), "the licence does not hold now")
            root, issued = self.in_force(self.license_at), moment(self.licensed["issued"]["value"])
            need(root.issued <= issued <= root.expires, "it was issued when its root did not count")
            seen = max(self.signed.values(), default=0)
            need(not seen or moment(self.license_entry["at"]) <= seen + 60, "it was logged later than witnesses saw it")

    def standing(self):
        given = self.standing_bytes if self.standing_bytes is not None else self.parts.get("standing.json")
        state = None
        for _, entry in self.all("revoke", "suspend", "reinstate"):
            if state != "revoke":
                state = entry["kind"]
        need(state in (None, "reinstate"), f"the log says {state}")
        if self.license_at is not None and self.all("stage"):
            stage, stands = self.license_entry["stage"], self.stands
            need(stands in STAGES and STAGES.index(stage) <= STAGES.index(stands), f"the model stands at {stands}")
        if given is None:
            return
        value, envelope = outcome.read_standing(given, self)
        if self.standing_bytes is not None:
            need(moment(value["issued"]) <= self.now + 60, "a standing of the future")
            need(self.now <= moment(value["expires"]), "a standing that expired")
            need(self.license_at is None or value["log_size"] > self.license_at, "a standing of before the licence")
            need(value["epoch"] >= self.job.get("epoch", 1), "an older standing than was seen")
        if self.license_at is not None:
            for entry in value["entries"]:
                need(entry["license"] != self.license_digest, f"the licence is {entry['state']}")


def verify(data, job):
    """Every step until one fails; those after it are skipped."""
    check, steps, failed = Check(data, job), {}, None
    for name in STEPS:
        if name in NOT_IMPLEMENTED and name != "scope":
            steps[name] = "not implemented: " + NOT_IMPLEMENTED[name]
        elif failed:
            steps[name] = "skipped"
        else:
            try:
                getattr(check, name, lambda: outcome.check_packs(check))()
                steps[name] = "ok" if name != "scope" else "ok in part: " + NOT_IMPLEMENTED[name]
            except Wrong as error:
                failed, steps[name] = name, f"failed: {error}"
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                failed, steps[name] = name, f"failed: another form ({type(error).__name__}: {error})"
    return {"failed": failed, "holds": failed is None, "steps": steps}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", nargs="?")
    parser.add_argument("--batch")
    for name in ("--now", "--root", "--standing"):
        parser.add_argument(name)
    given = parser.parse_args()
    if given.batch:
        jobs = json.loads(read(given.batch))
    else:
        jobs = [{name: getattr(given, name) for name in ("bundle", "now", "root", "standing")}]
    held = True
    for job in jobs:
        if job.get("standing"):
            job["standing_bytes"] = read(job["standing"])
        report = verify(read(job["bundle"]), job)
        held &= report["holds"]
        print(json.dumps(report, ensure_ascii=False))
    return 0 if held or given.batch else 30


if __name__ == "__main__":
    sys.exit(main())

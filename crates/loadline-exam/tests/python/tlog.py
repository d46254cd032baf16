"""Notes, checkpoints, witnesses and proofs of the log.

Written from docs/formats/tlog.md and the C2SP texts it names: signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof, tlog-policy.
"""

import re

from forms import Wrong, ed25519_holds, ml_dsa_holds, need, sha, unbase64


def whole(text):
    need(re.fullmatch("0|[1-9][0-9]{0,18}", text) and int(text) < 2**63, f"no number: {text[:30]!r}")
    return int(text)


def leaf(entry):
    return sha(b"\0" + entry)


def node(left, right):
    return sha(b"\1" + left + right)


def included(entry, index, size, path, root):
    """RFC 9162, section 2.1.3.2."""
    need(index < size, "the entry is beyond the checkpoint")
    fn, sn, value = index, size - 1, leaf(entry)
    for each in path:
        need(sn > 0, "the proof is too long")
        if fn & 1 or fn == sn:
            value = node(each, value)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            value = node(value, each)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and value == root, "the entry is not in the log")


def consistent(first, second, path):
    """RFC 9162, section 2.1.4.2; each state is `(size, root)`."""
    (size, root), (later, later_root) = first, second
    need(size <= later, "the first state is the larger one")
    if size in (0, later):
        need(not path, "a proof where none is needed")
        need(size != 0 or root == sha(b""), "the empty log has another root")
        need(size != later or root == later_root, "two roots of one size")
        return
    path = list(path)
    if size & (size - 1) == 0:
        path.insert(0, root)
    need(path, "no proof")
    fn, sn = size - 1, later - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for each in path[1:]:
        need(sn > 0, "the proof is too long")
        if fn & 1 or fn == sn:
            old, new = node(each, old), node(each, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node(new, each)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and old == root and new == later_root, "it does not continue the state before")


class Verifier:
    """A key as a note names it: `NAME+ID+BASE64`."""

    def __init__(self, text):
        match = re.fullmatch(r"([^\s+]{1,255})\+([0-9a-f]{8})\+(.+)", text)
        need(match, f"no key: {text[:40]!r}")
        self.name = match[1]
        data = unbase64(match[3])
        self.kind, self.key = data[:1], data[1:]
        need(self.kind in (b"\1", b"\4", b"\6"), "a key of another type")
        need(len(self.key) == (1312 if self.kind == b"\6" else 32), "a key of another length")
        self.id = sha(self.name.encode() + b"\n" + data)[:4]
        need(self.id.hex() == match[2], "another id than the key's")

    def holds(self, text, signature):
        """Checks a signature without its key id; the moment of a cosignature, or 0."""
        body = text.encode()
        if self.kind == b"\1":
            need(len(signature) == 64 and ed25519_holds(self.key, body, signature), f"signature of {self.name}")
            return 0
        stamp, signature = signature[:8], signature[8:]
        moment = int.from_bytes(stamp, "big")
        if self.kind == b"\4":
            message = b"cosignature/v1\ntime %d\n" % moment + body
            holds = len(signature) == 64 and ed25519_holds(self.key, message, signature)
        else:
            origin, size, root = checkpoint(text)
            message = b"subtree/v1\n\0" + sized(self.name) + stamp + sized(origin)
            message += (0).to_bytes(8, "big") + size.to_bytes(8, "big") + root
            holds = len(signature) == 2420 and ml_dsa_holds(self.key, message, signature)
        need(holds and moment < 2**63, f"cosignature of {self.name}")
        return moment


def sized(text):
    return bytes([len(text.encode())]) + text.encode()


def checkpoint(text):
    """Origin, size and root of a checkpoint's text."""
    lines = text.split("\n")
    need(len(lines) >= 4 and lines[-1] == "" and lines[0], "no checkpoint")
    need(all(lines[:-1]), "an empty line in a checkpoint")
    root = unbase64(lines[2])
    need(len(root) == 32, "a root of another length")
    return lines[0], whole(lines[1]), root


class Policy:
    """A C2SP tlog-policy: one log or more, witnesses, groups, a quorum."""

    def __init__(self, text):
        need(text.endswith("\n") and len(text) <= 1 << 20, "the log policy does not end in a line feed")
        self.logs, self.named, self.quorum, keys = [], {}, None, set()
        for line in text.split("\n"):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] in ("log", "witness"):
                at = 1 if words[0] == "log" else 2
                need(at < len(words) <= at + 2, f"line {line[:40]!r}")
                key = Verifier(words[at])
                need(key.key not in keys, "one key twice")
                keys.add(key.key)
                if at == 1:
                    need(key.kind == b"\1", "a log's key of another type")
                    self.logs.append(key)
                else:
                    need(key.kind != b"\1", "a witness's key of another type")
                    self.name(words[1], key)
            elif words[0] == "group":
                need(len(words) >= 4 and all(each in self.named for each in words[3:]), f"line {line[:40]!r}")
                members = words[3:]
                need(len(set(members)) == len(members), "a member twice")
                least = {"all": len(members), "any": 1}.get(words[2])
                least = whole(words[2]) if least is None else least
                need(1 <= least <= len(members), "a group's number")
                self.name(words[1], (least, members))
            elif words[0] == "quorum":
                need(len(words) == 2 and self.quorum is None, "a second quorum")
                need(words[1] == "none" or words[1] in self.named, "an unknown quorum")
                self.quorum = words[1]
            else:
                raise Wrong(f"log policy: {line[:40]!r}")
        need(self.quorum is not None, "no quorum")

    def name(self, name, what):
        need(name not in self.named and name != "none", f"{name} twice")
        self.named[name] = what

    def met(self, name, signed):
        what = self.named[name]
        if isinstance(what, Verifier):
            return name in signed
        return sum(self.met(each, signed) for each in what[1]) >= what[0]

    def accept(self, note):
        """The checkpoint in a note by one of the logs with the quorum of its witnesses, and the cosignatures' moments."""
        need(len(note) <= 1 << 20, "the note is too large")
        text, split, signatures = note.partition("\n\n")
        need(split and signatures.endswith("\n"), "no note")
        text += "\n"
        need(all(char >= " " and char != "\x7f" or char == "\n" for char in note), "a control character")
        origin, size, root = checkpoint(text)
        lines = signatures[:-1].split("\n")
        need(len(lines) <= 128 and len(set(lines)) == len(lines), "too many signatures, or one twice")
        by_log, signed = False, {}
        for line in lines:
            words = line.split(" ")
            need(len(words) == 3 and words[0] == "\u2014" and words[1], "a signature line")
            data = unbase64(words[2])
            need(len(data) > 4, "a short signature")
            for log in self.logs:
                if (log.name, log.id) == (words[1], data[:4]):
                    log.holds(text, data[4:])
                    by_log |= log.name == origin
            for name, witness in self.named.items():
                if isinstance(witness, Verifier) and (witness.name, witness.id) == (words[1], data[:4]):
                    signed[name] = witness.holds(text, data[4:])
        need(by_log, "not signed by the log")
        need(self.quorum == "none" or self.met(self.quorum, signed), "the witnesses' quorum is not reached")
        return origin, size, root, signed

    def witnessed(self, note):
        """Of a note in the one form that a start has: the state, the cosignatures' moments, the cosignatures."""
        need(len(note.encode()) <= 48 << 10, "the note is too large")
        origin, size, root, signed = self.accept(note)
        lines = [line.split(" ") for line in note.partition("\n\n")[2][:-1].split("\n")]
        data = [unbase64(words[2]) for words in lines]
        by = [(words[1], each[:4]) for words, each in zip(lines, data)]
        need(by[0] in [(log.name, log.id) for log in self.logs if log.name == origin], "the log's line is not the first")
        names = [name for name in self.named if name in signed]
        need(by[1:] == [(self.named[name].name, self.named[name].id) for name in names], "other lines than the witnesses'")
        for name in names:
            fewer = {other for other in names if other != name}
            need(self.quorum != "none" and not self.met(self.quorum, fewer), f"the quorum does not need {name}")
        return (origin, size, root), [signed[name] for name in names], data[1:]


def read_proof(data):
    """A C2SP tlog-proof without extra data: index, hashes, the note."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Wrong("no UTF-8") from error
    head, split, note = text.partition("\n\n")
    lines = head.split("\n")
    need(split and len(lines) >= 2 and lines[0] == "c2sp.org/tlog-proof@v1", "no proof")
    need(lines[1].startswith("index "), "no index")
    hashes = [unbase64(line) for line in lines[2:]]
    need(len(hashes) <= 63 and all(len(each) == 32 for each in hashes), "hashes")
    return whole(lines[1][6:]), hashes, note

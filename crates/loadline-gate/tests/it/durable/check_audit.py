"""Checks an audit log from its page alone (docs/formats/audit.md): none of Loadline's code. Standard library only.

usage: check_audit.py FOLDER [FORWARDED [BODIES]]
FORWARDED has the ids of requests that were forwarded, one a line: each must have its intent.
BODIES has bodies that reached an upstream, one a line: each must be the content of an intent, under a subject's key.
Prints a JSON object on success; ends with a message and status 1 otherwise.
"""
import base64, hashlib, hmac, json, os, re, sys

HEAD = re.compile(rb"([BRC]) ([0-9a-f]{8}) ([0-9a-f]{16}) ")


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def fail(message):
    sys.exit(f"check_audit: {message}")


class Tree:
    """The perfect subtrees from left to right."""

    def __init__(self, size=0, edge=()):
        self.size, self.edge = size, list(edge)

    def push(self, leaf):
        size = self.size
        while size & 1:
            leaf = sha(b"\1", self.edge.pop(), leaf)
            size >>= 1
        self.edge.append(leaf)
        self.size += 1

    def root(self):
        if not self.edge:
            return sha()
        root = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            root = sha(b"\1", left, root)
        return root


def digest(text):
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        fail(f"{text} is no digest")
    return bytes.fromhex(text[7:])


def frames(data, where, closed):
    """Yields (kind, payload); stops at a torn tail of the last segment."""
    at = len(b"loadline-log 1\n")
    if data[:at] != b"loadline-log 1\n":
        fail(f"{where}: first line")
    while at < len(data):
        head = HEAD.match(data, at)
        length = int(head[2], 16) if head else 0
        payload = data[at + 28 : at + 28 + length]
        end = data[at + 28 + length : at + 29 + length]
        if head:
            prefix = {b"R": b"\0", b"C": b"C", b"B": b"B"}[head[1]]
            whole = end == b"\n" and sha(prefix, payload)[:8].hex().encode() == head[3]
        if not head or not whole:
            if closed:
                fail(f"{where}: byte {at}: a closed segment has a frame that does not check")
            yield "torn", len(data) - at
            return
        yield head[1].decode(), payload
        at += 29 + length


def main():
    folder = sys.argv[1]
    names = sorted(name for name in os.listdir(folder) if re.fullmatch(r"segment-\d{20}", name))
    tree, roots = Tree(), {}
    settled, open_intents, requests, contents, torn = set(), {}, set(), set(), 0
    for number, name in enumerate(names):
        closed = number + 1 < len(names)
        counted, pending = None, []
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        for place, (kind, payload) in enumerate(frames(data, name, closed)):
            if kind == "torn":
                torn = payload
            elif kind == "B":
                begin = json.loads(payload)
                if place != 0 or begin["first"] != tree.size or begin["first"] != int(name[8:]):
                    fail(f"{name}: begins with another row than {tree.size}")
                if [digest(hash) for hash in begin["edge"]] != tree.edge:
                    fail(f"{name}: the edge is not that of the rows before")
            elif kind == "C":
                checkpoint = json.loads(payload)
                counted = checkpoint["size"]
                if roots.get(counted) != digest(checkpoint["root"]):
                    fail(f"{name}: the checkpoint over {counted} rows has another root")
            else:
                row_number = tree.size
                tree.push(sha(b"\0", payload))
                roots[tree.size] = tree.root()
                ((what, row),) = json.loads(payload).items()
                if what == "intent":
                    open_intents[row_number] = row["request"]
                    requests.add(row["request"])
                    contents.add((row["content"]["hmac"], row["content"]["bytes"]))
                elif what in ("outcome", "unsettled"):
                    if row["intent"] in settled or row["intent"] not in open_intents:
                        fail(f"row {row_number} settles row {row['intent']}, which is not open")
                    settled.add(row["intent"])
                    del open_intents[row["intent"]]
                elif what == "carried":
                    if set(map(int, row["open"])) != set(open_intents):
                        fail(f"row {row_number} carries other open intents than there are")
        if closed and counted != tree.size:
            fail(f"{name}: does not end with a checkpoint over all rows")
    with open(os.path.join(folder, "checkpoint"), encoding="utf-8") as file:
        origin, size, root = file.read().split("\n")[:3]
    if roots.get(int(size)) != base64.b64decode(root):
        fail(f"the signed checkpoint of {origin} over {size} rows has another root")
    forwarded = set()
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as file:
            forwarded = set(file.read().split())
    if forwarded - requests:
        fail(f"{len(forwarded - requests)} requests were forwarded without an intent")
    bodies = []
    if len(sys.argv) > 3:
        with open(os.path.join(folder, "subjects"), encoding="utf-8") as file:
            keys = [bytes.fromhex(subject["key"]) for subject in json.load(file)["subjects"].values()]
        with open(sys.argv[3], "rb") as file:
            bodies = file.read().splitlines()
        for body in bodies:
            macs = {hmac.new(key, b"request\0" + body, hashlib.sha256).hexdigest() for key in keys}
            if not any((mac, len(body)) in contents for mac in macs):
                fail(f"a body reached an upstream without an intent: {body[:200]!r}")
    print(json.dumps({
        "rows": tree.size, "root": "sha256:" + tree.root().hex(), "segments": len(names), "intents": len(requests),
        "open": len(open_intents), "forwarded": len(forwarded), "bodies": len(bodies), "signed": int(size), "torn": torn,
    }))


main()

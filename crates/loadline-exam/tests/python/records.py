"""A record's log and seal, and what is counted from its rows.

Written from docs/formats/record.md and docs/formats/exam.md.
"""

import json
import re

from forms import Wrong, canonical, fields, named, need, number, read_json, sha
from tlog import leaf, node


class Tree:
    """The Merkle tree of RFC 6962 as it grows: the roots of its full subtrees."""

    def __init__(self):
        self.size, self.peaks = 0, []

    def push(self, value):
        place = self.size
        while place & 1:
            value, place = node(self.peaks.pop(), value), place >> 1
        self.peaks.append(value)
        self.size += 1

    def root(self):
        value = None
        for peak in reversed(self.peaks):
            value = peak if value is None else node(peak, value)
        return value or sha(b"")


def once(pairs):
    need(len({name for name, _ in pairs}) == len(pairs), "a repeated field in a row")
    return dict(pairs)


def no_constant(text):
    raise Wrong(f"{text} in a row")


def read_row(payload):
    """A row as JSON; it need not be canonical."""
    try:
        row = json.loads(payload.decode(), object_pairs_hook=once, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"a row is no JSON: {error}") from error
    need(isinstance(row, dict), "a row is no object")
    return row


def frames(log):
    """Kind and payload of every frame; each check is made."""
    first = b"loadline-record 1\n"
    need(log.startswith(first), "the first line of a record")
    at = len(first)
    while at < len(log):
        head = re.fullmatch(rb"([RCW]) ([0-9a-f]{8}) ([0-9a-f]{16}) ", log[at : at + 28])
        need(head, f"no frame at byte {at}")
        length = int(head[2], 16)
        need(length <= 64 << 20 and at + 28 + length < len(log), f"the frame at byte {at} is cut off")
        payload = log[at + 28 : at + 28 + length]
        need(log[at + 28 + length] == 10 and b"\n" not in payload, f"the frame at byte {at} does not end in a line feed")
        before = b"\0" if head[1] == b"R" else head[1]
        need(sha(before + payload)[:8].hex().encode() == head[3], f"the check of the frame at byte {at}")
        yield head[1].decode(), payload
        at += 28 + length + 1


class Record:
    """A sealed record that holds."""

    def __init__(self, log, seal_bytes, run):
        need(seal_bytes.endswith(b"\n"), "the seal does not end in a line feed")
        seal = fields(read_json(seal_bytes[:-1]), ["format", "root", "rows", "run", "samples", "spec"])
        need(seal["format"] == 1, "the seal's `format`")
        tree, self.withheld, self.samples, self.spec, self.roots = Tree(), 0, {}, None, {}
        last, samples = 0, 0
        for kind, payload in frames(log):
            if kind == "C":
                last = self.checkpoint(payload, tree, last)
                continue
            if kind == "W":
                need(tree.size > 0, "row 0 is withheld")
                need(re.fullmatch(b"[0-9a-f]{64}", payload), "a withheld row is no hash")
                self.withheld += 1
                tree.push(bytes.fromhex(payload.decode()))
            else:
                samples += self.row(tree.size, read_row(payload))
                tree.push(leaf(payload))
            # A checkpoint may be over fewer rows than stand before it.
            self.roots[tree.size] = tree.root()
        need(last == tree.size and kind == "C", "the log does not end with a checkpoint over all rows")
        self.rows, self.root = tree.size, "sha256:" + tree.root().hex()
        need((seal["rows"], seal["root"]) == (self.rows, self.root), "the seal's `rows` or `root`")
        need(samples + self.withheld == number(seal["samples"]), "the seal's `samples`")
        digest = named(canonical(self.spec))
        need(seal["spec"] == digest, "the seal's `spec`")
        need(seal["run"] == run == digest[7:39], "the run's id")

    def checkpoint(self, payload, tree, last):
        match = re.fullmatch(rb'\{"size":([1-9][0-9]*),"root":"sha256:([0-9a-f]{64})"\}', payload)
        need(match, "no checkpoint")
        size = int(match[1])
        need(max(1, last) <= size <= tree.size, "a checkpoint of another size")
        need(self.roots[size].hex() == match[2].decode(), "a checkpoint's root")
        return size

    def row(self, place, row):
        need(("spec" in row) == (place == 0), "the specification is row 0, and no other row is one")
        if place == 0:
            self.spec = fields(row, ["spec"])["spec"]
            need(isinstance(self.spec, dict), "a specification")
        if "sample" not in row:
            return 0
        sample = fields(row, ["sample"])["sample"]
        index, epoch = number(sample.get("index")), number(sample.get("epoch"))
        need(index < self.spec["samples"] and epoch < self.spec["epochs"], f"sample {index} is beyond the specification")
        before = self.samples.get((index, epoch))
        need(before is None or "error" in before, f"sample {index} twice")
        self.samples[index, epoch] = sample
        return 1

    def counts(self, test):
        """Counts as an attestation has them, from the rows that are shown, and how many samples those are."""
        metric = test["metric"]
        shown = {index: sample for (index, _), sample in self.samples.items()}
        end = next((i for i in range(test["n"]) if i not in shown), test["n"])
        if test["method"] != "anytime" or self.withheld:
            end = test["n"]
        whole = test["method"] == "anytime" or self.withheld or len(shown) == test["n"]
        need(whole and end > 0, f"{test['id']}: not all samples have a row")
        successes = scored = unscored = 0
        for index, sample in shown.items():
            if index >= end:
                continue
            values = [score["value"] for score in sample.get("scores", []) if score.get("metric") == metric]
            if not values:
                unscored += 1
                continue
            need(values[0] in ({"number": 1}, {"number": 0}), f"sample {index} has a score that is neither 0 nor 1")
            scored += 1
            successes += values[0]["number"] == 1
        return {"scored": scored, "successes": successes, "unscored": unscored}

"""The container: first line, table of contents, parts. Written from docs/formats/bundle.md."""

import re

from forms import fields, named, need, number, read_json

ORDER = [
    r"roots/[1-9]\d*\.json",
    r"policy\.json",
    r"model/manifest\.json",
    r"model/compute\.json",
    r"rules/[a-z0-9][a-z0-9._-]*\.json",
    r"log/entries/(0|[1-9]\d*)\.json",
    r"log/proofs/(0|[1-9]\d*)\.tlog-proof",
    r"log/registration\.consistency",
    r"exam/attestation\.json",
    r"exam/test-result\.json",
    r"sign-offs/[1-9]\d*\.json",
    r"drill\.json",
    r"decision\.json",
    r"license\.json",
    r"svr\.json",
    r"standing\.json",
    r"records/[1-9]\d*-[0-9a-f]{32}/(seal\.json|log)",
]


def read_container(data):
    """The parts by name, in order."""
    first = b"loadline-bundle 1\n"
    need(data.startswith(first), "the first line")
    line, split, rest = data[len(first) :].partition(b"\n")
    need(split and len(line) <= 2 << 20, "the table of contents")
    table = fields(read_json(line), ["parts"])["parts"]
    need(isinstance(table, list) and len(table) <= 10_000, "the table of contents")
    parts, at, last, small = {}, 0, 0, 0
    for entry in table:
        fields(entry, ["bytes", "name", "sha256"])
        name, size = entry["name"], number(entry["bytes"])
        place = next((i for i, form in enumerate(ORDER) if isinstance(name, str) and re.fullmatch(form, name, re.A)), None)
        need(place is not None, f"an unknown part {name!r}")
        need(name not in parts and place >= last, f"{name} twice or out of order")
        part = rest[at : at + size]
        need(len(part) == size, f"{name} is cut off")
        need(named(part) == f"sha256:{entry['sha256']}", f"{name} has another digest")
        if not name.endswith("/log"):
            need(size <= 4 << 20, f"{name} is too large")
            small += size
        parts[name], at, last = part, at + size, place
    need(at == len(rest), "bytes after the last part")
    need(small <= 64 << 20, "too large together")
    check_names(list(parts))
    return parts


def check_names(names):
    """Nothing is missing, and parts of one kind are in order."""
    for name in (
        "policy.json model/manifest.json log/registration.consistency exam/attestation.json exam/test-result.json decision.json"
    ).split():
        need(name in names, f"{name} is missing")
    need(("license.json" in names) == ("svr.json" in names), "a licence without its SVR, or the other way")
    numbered = {}
    for name in names:
        match = re.match(r"(roots|rules|log/entries|log/proofs|sign-offs|records)/(.*)", name)
        if match:
            numbered.setdefault(match[1], []).append(match[2])
    for kind in ("roots", "sign-offs"):
        given = numbered.get(kind, [])
        need(given == [f"{i + 1}.json" for i in range(len(given))], f"{kind} are not 1, 2, …")
    need(numbered.get("roots"), "no root")
    need(numbered.get("rules", []) == sorted(numbered.get("rules", [])), "rules are not in order")
    entries = [int(each[:-5]) for each in numbered.get("log/entries", [])]
    need(entries == sorted(entries), "log entries are not in order")
    proofs = [f"{index}.tlog-proof" for index in entries]
    need(numbered.get("log/proofs", []) == proofs, "an entry without its proof, or proofs are not in order")
    records = numbered.get("records", [])
    for i, (seal, log) in enumerate(zip(records[::2], records[1::2])):
        run = seal.split("/")[0]
        need(run.startswith(f"{i + 1}-") and (seal, log) == (f"{run}/seal.json", f"{run}/log"), "records")
    need(len(records) % 2 == 0, "a record without its log")

"""Prints `golden/seed-2.json`: the seed of a test, from what the start in a bundle says that the witnesses saw.

    seed.py tests/golden/witnessed.bundle > tests/golden/seed-2.json
"""

import base64
import sys

from container import read_container
from forms import canonical, of_parts, read_json
from tlog import Policy

with open(sys.argv[1], "rb") as file:
    parts = read_container(file.read())
log_policy = read_json(base64.b64decode(read_json(parts["roots/1.json"])["payload"]))["log_policy"]
entries = [read_json(part) for name, part in parts.items() if name.startswith("log/entries/")]
note = next(entry for entry in entries if entry["kind"] == "start")["witnessed"]
secret, policy, model = bytes([1]) * 32, bytes([3]) * 32, bytes([4]) * 32
_, _, cosignatures = Policy(log_policy).witnessed(note)
checkpoint = note.partition("\n\n")[0] + "\n"
seed = of_parts("loadline/exam/seed/2", secret, checkpoint.encode(), policy, model, *cosignatures)
test = of_parts("loadline/exam/test/1", seed, b"sums")
number = int.from_bytes(test[:8], "big") >> 11
golden = {"log_policy": log_policy, "note": note, "test_number": number, "test_seed": "sha256:" + test.hex()}
sys.stdout.buffer.write(canonical(golden))

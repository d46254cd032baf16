"""What follows from the counts: the test result, the decision, the licence, its short form, and the standing.

Written from docs/formats/{exam,policy,license,standing}.md.
"""

import base64
import re
from datetime import datetime, timezone
from fractions import Fraction

import bounds
from forms import Envelope, fields, moment, named, need, number, raw, read_json

DAY = 86_400
SEVERITIES = ["low", "moderate", "high", "critical"]
WORST = ["allow", "undetermined", "deny"]


def checkpoint_text(checkpoint):
    root = base64.b64encode(raw(checkpoint["root"])).decode()
    return f"{checkpoint['origin']}\n{checkpoint['size']}\n{root}\n".encode()


def check_counts(record, given, test):
    """The attested counts are those of the rows; with withheld rows, they are possible."""
    found = record.counts(test)
    if not record.withheld:
        need(found == given, f"{test['id']}: attested {given}, counted {found}")
        return
    more = sum(given.values()) - given["successes"] - (found["scored"] + found["unscored"])
    if test["method"] != "anytime":
        need(0 <= more <= record.withheld, f"{test['id']}: withheld rows cannot make {given}")
        for name in ("scored", "successes", "unscored"):
            need(0 <= given[name] - found[name] <= more, f"{test['id']}: withheld rows cannot make {given}")
    else:
        need(more <= record.withheld, f"{test['id']}: withheld rows cannot make {given}")
        need(given["successes"] - found["successes"] <= record.withheld, f"{test['id']}: too many successes")


def test_outcome(test, counts, attempts):
    (requirement,) = test["requirement"].items()
    confidence = Fraction(test["confidence"])
    if attempts.get("corrected"):
        confidence = 1 - (1 - confidence) / attempts["most"]
    return bounds.outcome(test["method"], counts, (requirement[0], Fraction(requirement[1])), confidence)


def asked(check, light):
    """The policy's tests that a path asks, each with what is attested of it, if anything."""
    attested = {each["test"]: each for each in check.exam["tests"]}
    return [(test, attested.get(test["id"])) for test in check.rules["tests"] if test["light"] or not light]


def check_test_result(result, check):
    """As the decision's rules would have it when the last test ended."""
    fields(result, "configuration failedTests passedTests result warnedTests".split())
    found = {"allow": [], "undetermined": [], "deny": []}
    now = max(moment(given["finished"]) for given in check.exam["tests"])
    for test, given in asked(check, False):
        if given is not None:
            found[evidence_outcome(check, test, given, now)[1]].append(test["id"])
    policy = check.policy_ref
    need(result["configuration"] == [{"digest": {"sha256": policy["digest"][7:]}, "name": policy["name"]}], "`configuration`")
    need(result["passedTests"] == found["allow"], "`passedTests`")
    need(result["warnedTests"] == found["undetermined"], "`warnedTests`")
    need(result["failedTests"] == found["deny"], "`failedTests`")
    word = "FAILED" if found["deny"] else "WARNED" if found["undetermined"] else "PASSED"
    need(result["result"] == word, "`result`")


def check_packs(check):
    """The packs whose verdict the licence names are those of the bundle."""
    packs = {name[6:-5]: named(part) for name, part in check.parts.items() if name.startswith("rules/")}
    for name in packs:
        value = read_json(check.parts[f"rules/{name}.json"])
        need(value["format"] == "loadline-rules/1" and value["id"] == name, f"rules/{name}.json is another pack")
    check.packs = packs
    compute = check.parts.get("model/compute.json")
    if compute is not None:
        need(read_json(compute)["format"] == "loadline-compute/1", "the compute declaration")


def evidence_outcome(check, test, given, now):
    """The rule of a test, its outcome, and whether it blocks."""
    rules = check.rules
    attempts = rules.get("attempts", {})
    blocks = SEVERITIES.index(test["severity"]) >= SEVERITIES.index(rules["blocks_from"])
    rule = "test." + test["id"]
    open_ = (rule, "undetermined", blocks)
    if given is None:
        return open_
    if check.start["attempt"] > attempts.get("most", 1):
        return ("attempts", "deny", True)
    finished, n = moment(given["finished"]), given["counts"]["scored"] + given["counts"]["unscored"]
    if check.registration["identity"] not in rules["identity"] or "task" in test["source"]:
        return open_
    if finished > now or now - finished > rules["max_age_days"] * DAY:
        return open_
    if n != test["n"] if test["method"] != "anytime" else not 1 <= n <= test["n"]:
        return open_
    return (rule, test_outcome(test, given["counts"], attempts), blocks)


def sign_off_outcomes(check, rules, stage, now):
    """A rule for each refusal and for each role that is asked. A key counts for one role."""
    found, agreed = [], {}
    for signer, at, value in check.signed_off:
        if (value["stage"], value["policy"], value["subject"]) != (stage, check.policy_digest, check.model_digest):
            continue
        if at > now or (value["approves"] and now - at > check.rules["max_age_days"] * DAY):
            continue
        if value["approves"]:
            agreed.setdefault(value["role"], set()).add(signer)
        else:
            found.append(("sign_off." + value["role"], "deny", True))
    signers = set().union(*agreed.values()) if agreed else set()
    need(len(signers) == sum(map(len, agreed.values())), "not implemented: a key that signed in several roles")
    for rule in rules:
        enough = len(agreed.get(rule["role"], ())) >= rule["needed"]
        found.append(("sign_off." + rule["role"], "allow" if enough else "undetermined", True))
    return found


DRILL = "answer_ms asked at bytes_after cut format gate kept_ms last_byte_median_ms last_byte_ms license lifted model name order"
STAGES = "internal red_team external_audit academic limited general weights_released".split()


def read_drill(check):
    """The report of the drill says what its log entry says, and a holder of the role `stop` signed it."""
    entries, part = check.all("drill"), check.parts.get("drill.json")
    need(len(entries) == (part is not None), "a drill without its entry, or the other way")
    check.drill = None
    if part is None:
        return
    need("drill" in check.rules, "a drill that the policy does not ask for")
    index, entry = entries[0]
    root, envelope = check.in_force(index), Envelope(part, "application/vnd.loadline.drill+json")
    signed = envelope.holds(root.keys, (1, root.role("stop")[1]))
    value = fields(signed, f"{DRILL} program stage streams target".split(), ["upstream_alive"])
    need(value["format"] == "loadline-drill/1" and value["streams"] <= value["asked"], "the drill's report")
    need(value["last_byte_median_ms"] <= value["last_byte_ms"], "the drill's median")
    need(envelope.digest == entry["drill"], "another drill is logged")
    names = "at bytes_after gate last_byte_ms model streams".split()
    need(all(value[name] == entry[name] for name in names), "the log says something else of the drill")
    need(check.license_at is None or index < check.license_at, "a drill that was logged after the licence")
    check.drill = value


def drill_outcome(check, stage, now):
    """Where the policy asks for a drill at this stage."""
    rule, drill = check.rules.get("drill"), check.drill
    if rule is None or stage == STAGES[-1] or STAGES.index(stage) < STAGES.index(rule["from"]):
        return []
    if drill is None or drill["model"] != check.model_digest or not 0 <= now - moment(drill["at"]) <= rule["max_age_days"] * DAY:
        return [("drill", "undetermined", True)]
    if drill["bytes_after"] or drill["last_byte_ms"] > rule["last_byte_ms"]:
        return [("drill", "deny", True)]
    return [("drill", "allow" if drill["streams"] >= rule["streams"] else "undetermined", True)]


def check_decision(check):
    """The outcome of every rule is as the decision says, and so is the whole; its words are not made again."""
    decision = read_json(check.parts["decision.json"])
    fields(decision, "assurance format now outcome path policy reasons stage subject".split(), ["marks"])
    need(decision["format"] == "loadline-decision/1", "`format`")
    need(decision["policy"] == check.policy_ref and decision["subject"] == check.model_digest, "a decision on something else")
    now, rules = moment(decision["now"]), check.rules
    need(now >= moment(check.finish["at"]), "it was made before the exam ended")
    stages = [each for each in rules["stages"] if each["stage"] == decision["stage"]]
    need(decision["path"] in ("light", "full"), "`path`")
    light = decision["path"] == "light"
    laws = rules["scope"]["laws"]
    found = [("scope." + law, "allow", True) for law in laws]
    ids = [digest for digest, _ in check.sign_off_ids]
    if len(set(ids)) < len(ids):
        found.append(("evidence", "undetermined", True))
    if not stages:
        found.append(("stage", "deny", True))
    found += drill_outcome(check, decision["stage"], now)
    found += [evidence_outcome(check, test, given, now) for test, given in asked(check, light)]
    signed = stages[0]["light_sign_off" if light else "sign_off"] if stages else []
    found += sign_off_outcomes(check, signed, decision["stage"], now)
    said = [(reason["rule"], reason["outcome"], reason["blocks"]) for reason in decision["reasons"]]
    need(sorted(said) == sorted(found), f"its rules are {sorted(said)}, and made again {sorted(found)}")
    worst = max((WORST.index(outcome) for _, outcome, blocks in found if blocks), default=1)
    need(decision["outcome"] == WORST[worst], f"it says {decision['outcome']}, and made again it is {WORST[worst]}")
    need(decision["outcome"] == "allow" or not decision["assurance"] and "marks" not in decision, "it grants, and does not allow")
    decision["digest"], decision["at"], decision["of"] = named(check.parts["decision.json"]), now, stages
    return decision


def written(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


LICENSE = "assurance conditions decision evidence issued issuer limitations next_survey policy scope sign_offs stage subject validity"


def check_license(value, check):
    """Field by field, as far as the pages say what follows from the decision."""
    fields(value, LICENSE.split(), ["marks", "standing_url", "supersedes"])
    decision, rules, now = check.decided, check.rules, check.decided["at"]
    stage = decision["of"][0]
    expected = {
        "assurance": decision.get("assurance", []),
        "decision": {"digest": decision["digest"], "outcome": "allow"},
        "issued": decision["now"],
        "next_survey": written(now + rules["survey_days"] * DAY),
        "policy": check.policy_ref,
        "stage": decision["stage"],
        "subject": {"digest": check.model_digest, "name": check.model_name},
        "validity": {"expires": written(now + rules["valid_days"] * DAY), "not_before": decision["now"]},
    }
    if "marks" in stage:
        expected["marks"] = stage["marks"]
    for name, content in expected.items():
        need(fields(value[name], ["basis", "value"])["value"] == content, f"`{name}` does not follow from the decision")
    need("marks" in value or "marks" not in stage, "`marks`")
    need(value["subject"]["basis"] == check.registration["identity"], "`subject`: basis")
    need(check.license_entry["stage"] == decision["stage"], "another stage is logged")
    records = {(each["test"], each["record"]) for each in check.exam["tests"]}
    for each in value["evidence"]:
        proof = each["value"]
        need((proof["test"], proof["record"]) in records, "`evidence` is of another record")
        need(proof["attempt"] == check.start["attempt"] and proof["log_index"] == check.finish_at, "`evidence`")
    light = decision["path"] == "light"
    tests = [test["id"] for test, given in asked(check, light) if given is not None]
    need([each["value"]["test"] for each in value["evidence"]] == tests, "`evidence` is of other tests")
    scope = [each["value"] for each in value["scope"]]
    packs = check.packs if "model/compute.json" in check.parts else {}
    need({law["law"]: law["pack"] for law in scope} == packs and len(scope) == len(packs), "`scope` is by other packs")
    out = {law["law"] for law in scope if law["verdict"] == "out"}
    need(light == (rules["scope"]["below"] == "light" and set(rules["scope"]["laws"]) <= out), "`scope` and the path")
    cited = {each for reason in decision["reasons"] for each in reason["evidence"]}
    counted = [(digest, role) for digest, role in check.sign_off_ids if digest in cited]
    need([(each["value"]["id"], each["value"]["role"]) for each in value["sign_offs"]] == counted, "`sign_offs`")
    need(all(each["value"] for each in value["sign_offs"]), "`sign_offs`")
    need(moment(check.license_entry["at"]) >= now, "it is logged before it is issued")
    codes = {each["code"] for each in value["limitations"]}
    needed = {"not_legal_conformity", "test_validity", "unlogged_runs"}
    needed |= {"remote_identity"} if check.registration["identity"] != "verified" else set()
    simulated = read_json(check.parts["model/manifest.json"])["predicate"].get("provider") == "fake"
    need(simulated == ("simulated_subject" in codes), "`simulated_subject`")
    needed |= {"weights_public"} if decision["stage"] == "weights_released" else set()
    need(needed <= codes, "a limitation is missing")


def check_svr(value, license):
    fields(value, ["properties", "timeCreated", "verifier"])

    def word(text):
        return re.sub("[^A-Z0-9]", "_", text.upper())

    levels = license["assurance"]["value"]
    expected = [
        "LOADLINE_STAGE_" + word(license["stage"]["value"]),
        "LOADLINE_POLICY_" + word(license["policy"]["value"]["name"]),
        "LOADLINE_EXPIRES_" + word(license["validity"]["value"]["expires"][:10]),
        *("LOADLINE_ASSURANCE_" + word(level) for level in levels),
        "LOADLINE_NOT_LEGAL_CONFORMITY",
    ]
    need(value["properties"] == expected, "`properties`")
    need(value["timeCreated"] == license["issued"]["value"], "`timeCreated`")
    need(value["verifier"] == {"id": license["issuer"]["value"]["id"]}, "`verifier`")


def read_standing(data, check):
    envelope = Envelope(data, "application/vnd.loadline.standing+json")
    value = envelope.holds(check.newest.keys, check.newest.role("standing"))
    fields(value, "authority entries epoch expires format issued log_size".split())
    need(value["format"] == "loadline-standing/1", "`format`")
    need(value["authority"] == check.authority, "a standing of another authority")
    number(value["epoch"], 1)
    number(value["log_size"])
    need(moment(value["issued"]) <= moment(value["expires"]), "it expires before it is issued")
    need(len(value["entries"]) <= 10_000, "too many entries")
    named_there = []
    for entry in value["entries"]:
        fields(entry, "license reason since state".split())
        raw(entry["license"])
        moment(entry["since"])
        need(entry["state"] in ("revoked", "suspended"), "`state`")
        need(isinstance(entry["reason"], str) and len(entry["reason"].encode()) <= 500, "`reason`")
        named_there.append(entry["license"])
    need(named_there == sorted(set(named_there)), "entries are not in order")
    return value, envelope

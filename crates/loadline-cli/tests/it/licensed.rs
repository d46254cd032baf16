//! From nothing to a licence and back: the real binary, a simulated subject, an authority in a folder.

use serde_json::Value;

use crate::support::{Said, Sandbox};

/// A sandbox with an authority (`authority`, keys opened by `pass`), a policy and nothing else.
pub struct Bench {
    pub sandbox: Sandbox,
}

/// Three quick tests; the second may stop early. Two people must sign for `limited`, nobody for `internal`.
pub const POLICY: &str = r#"
format = "loadline-policy/1"
name = "bench"
version = "1"
purpose = "Tests of the command line"
identity = ["verified", "self_reported"]
max_age_days = 30
blocks_from = "moderate"
valid_days = 10
survey_days = 5
assurance = ["loadline/al-0"]

[scope]
laws = ["eu-ai-act-1e25"]
below = "light"

[attempts]
most = 2
corrected = true

[[test]]
id = "sums"
risk = "capability"
severity = "moderate"
suite = "arithmetic"
form = "generate"
levels = [1]
n = 30
metric = "exact_match"
at_least = 0.3
bound = "lower"
confidence = 0.95
method = "clopper_pearson"
light = true

[[test]]
id = "sums-early"
risk = "capability"
severity = "moderate"
suite = "arithmetic"
form = "generate"
levels = [1, 3]
n = 400
metric = "exact_match"
at_least = 0.3
bound = "lower"
confidence = 0.95
method = "anytime"
light = true

[[stage]]
name = "internal"
[stage.marks]
requests_per_minute = 60
tokens_per_day = 1000
context_tokens = 1000
tools = false
lease_s = 60
log = "durable"

[[stage]]
name = "limited"
sign_off = [{ role = "authority", needed = 1, of = 1 }, { role = "red_team", needed = 1, of = 1 }]
light_sign_off = [{ role = "authority", needed = 1, of = 1 }, { role = "red_team", needed = 1, of = 1 }]
[stage.marks]
requests_per_minute = 60
tokens_per_day = 1000
context_tokens = 1000
tools = false
lease_s = 60
log = "durable"
"#;

impl Bench {
    pub fn new() -> Self {
        Self::with(POLICY, "--also red_team")
    }

    /// With another policy and other keys.
    pub fn with(policy: &str, init: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("pass", "a passphrase of several words\n");
        sandbox.write("policy.toml", policy);
        let bench = Self { sandbox };
        bench.ok(&format!("authority init authority {init} --work 10"));
        bench
    }

    pub fn run(&self, line: &str) -> Said {
        self.sandbox.run(&format!("{line} --passphrase-file pass"))
    }

    pub fn ok(&self, line: &str) -> Said {
        self.run(line).ok()
    }

    /// Commits, registers and starts; gives the exam's id.
    pub fn begin(&self, model: &str) -> String {
        self.ok("exam commit policy.toml");
        self.ok(&format!("model register {model}"));
        self.ok("exam start").stdout.trim().to_owned()
    }

    /// A finished exam.
    pub fn examined(&self, model: &str) -> String {
        let exam = self.begin(model);
        self.ok("exam run");
        self.ok("exam finish");
        exam
    }

    pub fn sign_all(&self) {
        for role in ["authority", "red_team"] {
            self.ok(&format!("license sign --role {role} --stage limited"));
        }
    }

    pub fn log(&self) -> Vec<Value> {
        let entries = self.sandbox.path("authority/log/tile/entries");
        let mut files: Vec<_> = walk(&entries).into_iter().filter(|path| path.is_file()).collect();
        files.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
        let bytes = std::fs::read(files.last().unwrap()).unwrap();
        let (mut at, mut found) = (0, Vec::new());
        while at < bytes.len() {
            let length = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            found.push(serde_json::from_slice(&bytes[at + 2..at + 2 + length]).unwrap());
            at += 2 + length;
        }
        found
    }

    pub fn kinds(&self) -> Vec<String> {
        self.log().iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
    }
}

/// Every file below a folder.
pub fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

#[test]
fn from_nothing_to_a_licence_that_is_revoked() {
    let bench = Bench::new();
    let exam = bench.examined("fake/ability=0.95");
    // Without signatures the decision is open; it is kept, and nothing is licensed.
    let open = bench.run("license issue --stage limited");
    assert_eq!(open.code, 21, "{}", open.text());
    assert!(
        open.stdout.starts_with("UNDETERMINED") && open.stdout.contains("0 of 1 needed signed as red_team")
    );
    assert!(!bench.kinds().contains(&"license".to_owned()));
    bench.sign_all();
    let issued = bench.ok("license issue --stage limited --json").json_lines().remove(0);
    assert_eq!(issued["decision"]["outcome"], "allow");
    assert_eq!(issued["is_new"], true);
    let license = issued["license"].as_str().unwrap().to_owned();
    // The test that may stop early did.
    assert!(bench.sandbox.path(&format!("authority/exams/{exam}/attestation.json")).exists());
    let finished = bench.ok("exam finish --json").json_lines().remove(0);
    let early = finished["tests"][1]["counts"]["scored"].as_u64().unwrap();
    assert!((3..400).contains(&early), "{finished}");
    // Once more: the same licence, and no second entry of the log.
    let again = bench.ok("license issue --stage limited --json").json_lines().remove(0);
    assert_eq!(
        (again["license"].as_str().unwrap(), &again["is_new"]),
        (license.as_str(), &Value::Bool(false))
    );
    assert_eq!(bench.kinds().iter().filter(|kind| *kind == "license").count(), 1);
    let authority = bench.sandbox.run("authority show --json").ok().json_lines()[0]["authority"]
        .as_str()
        .unwrap()
        .to_owned();
    // Whichever command registered it.
    let shown = bench.ok("license show --json").json_lines().remove(0);
    assert!(shown.to_string().contains("simulated_subject"), "{shown}");
    bench.ok("license bundle -o first.bundle");
    let verified = bench.sandbox.run(&format!("verify first.bundle --root {authority} --json"));
    assert_eq!(verified.code, 0, "{}", verified.text());
    assert_eq!(verified.json_lines()[0]["holds"], true);
    // Another authority, and another time.
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(bench.sandbox.run(&format!("verify first.bundle --root {other}")).code, 30);
    let later = bench.sandbox.run("verify first.bundle --now 2099-01-01T00:00:00Z");
    assert_eq!(later.code, 30, "{}", later.text());
    assert!(later.stdout.contains("FAILED"));
    // Suspended, reinstated, revoked: a newer standing is what tells.
    let digest = license.strip_prefix("sha256:").unwrap();
    // None of them ends the standing sooner than it did: other models rest on it, too.
    let end = || bench.ok("standing show --json").json_lines().remove(0)["expires"].clone();
    bench.ok("standing issue --lease 24h");
    let long = end();
    let change = |verb: &str| {
        let said = bench.ok(&format!("license {verb} {} --reason because --lease 60s", &digest[..12]));
        assert!(said.stderr.contains(&format!(", until {}: ", long.as_str().unwrap())), "{}", said.text());
        assert_eq!(end(), long, "{verb}");
    };
    let with_standing = || bench.sandbox.run("verify first.bundle --standing authority/standing.json");
    change("suspend");
    assert_eq!(with_standing().code, 30);
    change("reinstate");
    assert_eq!(with_standing().code, 0, "{}", with_standing().text());
    change("revoke");
    let revoked = with_standing();
    assert_eq!(revoked.code, 30);
    assert!(revoked.stdout.contains("revoked"), "{}", revoked.stdout);
    let gone = bench.run(&format!("license reinstate {digest} --reason because"));
    assert_eq!(gone.code, 2, "{}", gone.text());
    assert!(bench.ok("license show").stdout.contains("revoked"));
    assert!(bench.ok("standing show").stdout.contains("revoked"));
    bench.ok("standing issue --lease 60s");
    assert!(end().as_str() < long.as_str(), "whoever signs a standing alone says how long it counts");
    let kinds = bench.kinds();
    let told = [
        "root",
        "policy",
        "commitment",
        "registration",
        "start",
        "finish",
        "license",
        "suspend",
        "reinstate",
        "revoke",
    ];
    assert_eq!(kinds, told);
}

#[test]
fn a_deny_is_evidence_too() {
    let bench = Bench::new();
    let exam = bench.examined("fake/ability=0.02");
    bench.sign_all();
    let denied = bench.run("license issue --stage limited");
    assert_eq!(denied.code, 20, "{}", denied.text());
    assert!(denied.stdout.starts_with("DENY"), "{}", denied.stdout);
    assert_eq!(bench.run("license show").stdout, "");
    bench.ok(&format!("license bundle --exam {exam} -o denied.bundle"));
    let verified = bench.sandbox.run("verify denied.bundle --json");
    assert_eq!(verified.code, 0, "{}", verified.text());
    assert_eq!(verified.json_lines()[0]["summary"]["outcome"], "deny");
}

#[test]
fn people_sign_elsewhere_and_one_refusal_is_enough() {
    let bench = Bench::new();
    let exam = bench.examined("fake/ability=0.95");
    let attestation = format!("authority/exams/{exam}/attestation.json");
    bench.ok("license sign --role authority --stage limited");
    // On a machine without the authority: only the attestation and one's own key.
    std::fs::create_dir(bench.sandbox.path("elsewhere")).unwrap();
    let copy = bench.sandbox.path("elsewhere/attestation.json");
    std::fs::copy(bench.sandbox.path(&attestation), copy).unwrap();
    let line = "license sign elsewhere/attestation.json --role red_team --stage limited --authority none \
                --key authority/keys/red-team.age -o yes.json";
    let signed = bench.ok(line);
    assert!(signed.stderr.contains("there are no roots here"), "{}", signed.stderr);
    // By the wrong key for the role.
    bench.ok("license sign --role red_team --stage limited --key authority/keys/authority.age -o wrong.json");
    let wrong = bench.run("license issue --stage limited --sign-off wrong.json");
    assert_eq!(wrong.code, 30, "{}", wrong.text());
    assert!(wrong.stderr.contains("`wrong.json` is no valid sign-off"), "{}", wrong.stderr);
    // What is no sign-off, or of another exam, is the user's file and not the authority's.
    bench.sandbox.write("empty.json", "");
    bench.sandbox.write("other.json", r#"{"payload":"","payloadType":"x","signatures":[]}"#);
    for (file, code, word) in [
        ("empty.json", 40, "`empty.json` is no sign-off"),
        ("other.json", 40, "`other.json` is no sign-off"),
        (&attestation, 40, "attestation.json` is no sign-off"),
        ("none.json", 40, "cannot read `none.json`"),
    ] {
        let said = bench.run(&format!("license issue --stage limited --sign-off {file}"));
        assert_eq!(said.code, code, "{}", said.text());
        assert!(said.stderr.contains(word) && said.stderr.contains("\n\nhint: "), "{}", said.stderr);
        assert!(!said.stderr.contains("what was written there"), "{}", said.stderr);
    }
    bench.ok("license sign --role red_team --stage limited --refuse -o no.json");
    let refused = bench.run("license issue --stage limited --sign-off yes.json --sign-off no.json");
    assert_eq!(refused.code, 20, "{}", refused.text());
    assert!(refused.stdout.contains("refused as red_team"), "{}", refused.stdout);
}

/// Both sign the same words in the same second: the signatures are two.
#[test]
fn two_of_three_sign_in_the_same_second() {
    let bench = Bench::new();
    let policy = std::fs::read_to_string(bench.sandbox.path("policy.toml")).unwrap();
    bench.sandbox.write(
        "policy.toml",
        policy
            .replace(r#"role = "red_team", needed = 1, of = 1"#, r#"role = "red_team", needed = 2, of = 3"#),
    );
    for name in ["alice", "bob"] {
        bench.ok(&format!("key new {name} -o {name}.age --work 10"));
        bench.ok(&format!("key rotate red_team --key {name}.pub.json --keep"));
    }
    bench.examined("fake/ability=0.95");
    bench.ok("license sign --role authority --stage limited");
    let finished = bench.ok("exam finish --json").json_lines().remove(0);
    let at = finished["tests"][0]["finished"].as_str().unwrap();
    for name in ["alice", "bob"] {
        bench.ok(&format!("license sign --role red_team --stage limited --key {name}.age --at {at}"));
    }
    let issued = bench.ok("license issue --stage limited --json").json_lines().remove(0);
    assert_eq!(issued["decision"]["outcome"], "allow", "{issued}");
    bench.ok("license bundle -o both.bundle");
    assert_eq!(bench.sandbox.run("verify both.bundle").code, 0);
}

#[test]
fn a_second_attempt_is_numbered_and_a_third_is_refused() {
    let bench = Bench::new();
    bench.examined("fake/ability=0.02");
    let second = bench.examined("fake/ability=0.02");
    let finished = bench.ok("exam finish --json").json_lines().remove(0);
    assert_eq!(finished["attempt"], 2);
    let starts: Vec<Value> = bench.log().into_iter().filter(|entry| entry["kind"] == "start").collect();
    assert_eq!((starts[0].get("previous"), &starts[1]["previous"]), (None, &Value::from(4)));
    let decided = bench.run("license issue --stage internal --json");
    assert_eq!(decided.code, 20, "{}", decided.text());
    bench.ok(&format!("license bundle --exam {second} -o second.bundle"));
    let verified = bench.sandbox.run("verify second.bundle --json");
    assert_eq!((verified.code, &verified.json_lines()[0]["summary"]["attempt"]), (0, &Value::from(2)));
    bench.ok("exam commit policy.toml");
    bench.ok("model register fake/ability=0.02");
    let third = bench.run("exam start");
    assert_eq!(third.code, 2);
    assert!(third.stderr.contains("this would be attempt 3"), "{}", third.stderr);
    let reused = bench.run("exam start --registration 3");
    assert!(reused.stderr.contains("made the questions of an exam already"), "{}", reused.stderr);
}

#[test]
fn a_renewed_licence_names_the_one_before() {
    let bench = Bench::new();
    bench.examined("fake/ability=0.95");
    bench.sign_all();
    let first = bench.ok("license issue --stage limited --json").json_lines().remove(0)["license"].clone();
    bench.examined("fake/ability=0.95");
    bench.sign_all();
    let prefix = &first.as_str().unwrap()["sha256:".len()..][..12];
    let second =
        bench.ok(&format!("license renew {prefix} --json")).json_lines().remove(0)["license"].clone();
    assert_ne!(first, second);
    let digest = second.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let shown = bench.ok(&format!("license show {digest} --json")).json_lines().remove(0);
    assert_eq!(shown["statement"]["predicate"]["supersedes"]["value"], first);
    bench.ok(&format!("license bundle {digest} -o renewed.bundle"));
    assert_eq!(bench.sandbox.run("verify renewed.bundle").code, 0);
}

//! What is in an authority's folder is what was written there, or the verb that reads it says so; what is cut off goes on.

use crate::licensed::{Bench, walk};

/// Flips one bit in the middle of a file.
fn flip(path: &std::path::Path) -> Vec<u8> {
    let before = std::fs::read(path).unwrap();
    let mut after = before.clone();
    let middle = after.len() / 2;
    after[middle] ^= 1;
    std::fs::write(path, after).unwrap();
    before
}

#[test]
fn a_changed_byte_in_any_file_is_noticed_by_a_verb_that_reads_it() {
    let bench = Bench::new();
    bench.examined("fake/ability=0.95");
    bench.sign_all();
    bench.ok("license issue --stage limited");
    bench.ok("standing issue");
    let authority = bench.sandbox.path("authority");
    let verbs = [
        "exam run",
        "exam finish",
        "license show",
        "license issue --stage limited",
        "license bundle -o x.bundle",
        "standing show",
        "standing issue",
        "exam commit policy.toml",
        "license sign --role red_team --stage limited -o x.json",
        "license sign --role authority --stage limited -o x.json",
        "key show authority/keys/root.age",
        "key show authority/keys/examiner.age",
        "key show authority/keys/log.vkey",
    ];
    let mut checked = 0;
    for path in walk(&authority) {
        let name = path.strip_prefix(&authority).unwrap().to_string_lossy().into_owned();
        let is_empty = path.metadata().unwrap().len() == 0;
        // What a lock says is for people; public halves of keys are in the root, which is what is read.
        if is_empty || name.ends_with("lock") || name.ends_with(".pub.json") {
            continue;
        }
        let before = flip(&path);
        let noticed = verbs.iter().find(|verb| {
            let code = bench.run(verb).code;
            assert!(code != 101, "`{verb}` panics when `{name}` is changed");
            code != 0
        });
        let is_noticed = noticed.is_some() || bench.sandbox.run("log fsck authority").code == 30;
        assert!(is_noticed, "nobody noticed a changed byte in `{name}`");
        std::fs::write(&path, before).unwrap();
        checked += 1;
    }
    assert!(checked > 20, "{checked} files");
    bench.ok("license show");
}

/// A model that answers slowly enough to be killed over it.
pub const SLOW: &str = "fake/ability=0.9,latency=30ms";

/// Runs the newest exam, which asks [`SLOW`], and kills it when some answers are there. The marker that it was running is
/// taken away: the answers are there still.
pub fn killed_exam(bench: &Bench) {
    let mut running = bench.sandbox.start("exam run --concurrency 1 --passphrase-file pass");
    let store = bench.sandbox.path("authority/exams");
    // Until some answers are there: the record grows, whatever the clock says.
    let is_some = || {
        walk(&store)
            .iter()
            .any(|path| path.ends_with("log") && path.metadata().is_ok_and(|meta| meta.len() > 8_000))
    };
    while !is_some() {
        assert!(running.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::yield_now();
    }
    running.kill().unwrap();
    running.wait().unwrap();
    let marker = walk(&store).into_iter().find(|path| path.ends_with("running")).unwrap();
    std::fs::remove_file(marker).unwrap();
}

#[test]
fn a_killed_exam_goes_on_and_the_log_says_so() {
    let bench = Bench::new();
    bench.begin(SLOW);
    killed_exam(&bench);
    let unfinished = bench.run("exam finish");
    assert_eq!(unfinished.code, 2, "{}", unfinished.text());
    assert!(unfinished.stderr.contains("is not complete") && unfinished.stderr.contains("loadline exam run"));
    let resumed = bench.ok("exam run");
    assert!(resumed.stderr.contains("answers reused"), "{}", resumed.stderr);
    bench.ok("exam run");
    assert_eq!(
        bench.kinds().iter().filter(|kind| *kind == "resume").count(),
        1,
        "a complete exam is not resumed"
    );
    bench.ok("exam finish");
    assert_eq!(bench.run("license issue --stage internal --json").code, 0);
    bench.ok("license bundle -o x.bundle");
    let verified = bench.sandbox.run("verify x.bundle --json");
    assert_eq!((verified.code, &verified.json_lines()[0]["summary"]["resumes"]), (0, &1.into()));
}

#[test]
fn another_model_is_not_asked() {
    let bench = Bench::new();
    bench.sandbox.write("weights/a.bin", "first");
    bench.ok("exam commit policy.toml");
    let simulated = bench.run("model register weights --served-as fake/ability=0.9");
    assert_eq!(simulated.code, 2, "{}", simulated.text());
    assert!(simulated.stderr.contains("it serves no weights") && simulated.stderr.contains("\nhint: "));
    let registered = bench.ok("model register weights --served-as openai/mine --json").json_lines().remove(0);
    assert_eq!(registered["identity"], "self_reported");
    bench.ok("exam commit policy.toml");
    let other = bench.run("model register openai/x");
    assert_eq!(other.code, 2, "{}", other.text());
    assert!(other.stderr.contains("--remote"), "{}", other.stderr);
    let unfit = bench.ok("model register weights");
    assert!(
        unfit.stderr.contains("warning: no exam can ask this model in this process: `weights` is a folder")
    );
    bench.ok("exam start");
    let files_only = bench.run("exam run");
    assert_eq!(files_only.code, 2, "{}", files_only.text());
    assert!(files_only.stderr.contains("--served-as"), "{}", files_only.stderr);
}

#[test]
fn a_wrong_passphrase_changes_nothing() {
    let bench = Bench::new();
    bench.sandbox.write("wrong", "not the passphrase\n");
    let before = bench.kinds();
    let said = bench.sandbox.run("exam commit policy.toml --passphrase-file wrong");
    assert_eq!(said.code, 2, "{}", said.text());
    assert!(said.stderr.contains("passphrase"), "{}", said.stderr);
    assert_eq!(bench.kinds(), before);
    let none = bench.sandbox.run("exam commit policy.toml");
    assert_eq!(none.code, 2, "{}", none.text());
}

#[test]
fn two_processes_do_not_change_one_folder() {
    let bench = Bench::new();
    let lock = std::fs::File::create(bench.sandbox.path("authority/lock")).unwrap();
    lock.lock().unwrap();
    let said = bench.run("exam commit policy.toml");
    assert_eq!(said.code, 1, "{}", said.text());
    assert!(said.stderr.contains("another process is changing"), "{}", said.stderr);
    drop(lock);
    bench.ok("exam commit policy.toml");
}

#[test]
fn each_step_says_what_it_needs() {
    let bench = Bench::new();
    for (line, code, hint) in [
        ("model register fake/ability=0.9", 2, "loadline exam commit"),
        ("exam start", 2, "loadline model register"),
        ("exam run", 2, "loadline exam start"),
        ("license issue --stage limited", 2, "loadline exam start"),
        ("license bundle", 2, "loadline license issue"),
        ("license revoke 00 --reason x", 2, "loadline license show"),
        ("standing show", 2, "loadline standing issue"),
        ("exam commit none", 40, "starter"),
    ] {
        let said = bench.run(line);
        assert_eq!(said.code, code, "{line}: {}", said.text());
        assert!(said.stderr.contains("\nhint: ") && said.stderr.contains(hint), "{line}: {}", said.stderr);
    }
    let missing = bench.sandbox.run("exam commit policy.toml --authority nowhere --passphrase-file pass");
    assert_eq!(missing.code, 2, "{}", missing.text());
    assert_eq!(bench.sandbox.run("verify nowhere.bundle").code, 2);
    let said = bench.sandbox.run("verify .");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("`.` is a folder"), "{}", said.text());
    assert_eq!(bench.sandbox.run("verify pass").code, 30);
}

#[test]
fn quickstart_goes_all_the_way_and_again() {
    let sandbox = crate::support::Sandbox::new();
    let said = sandbox.run("quickstart license --model fake/ability=0.9 --out q --json");
    assert_eq!(said.code, 0, "{}", said.text());
    assert!(said.stderr.contains("(simulated)") && said.stderr.contains("about no real model"));
    let end = said.json_lines().remove(0);
    assert_eq!((&end["decision"]["outcome"], &end["report"]["holds"]), (&"allow".into(), &true.into()));
    let again = sandbox.run("quickstart license --model fake/ability=0.9 --out q --json");
    assert_eq!(again.code, 0, "{}", again.text());
    assert_eq!(again.json_lines()[0]["license"], end["license"]);
    let fresh = sandbox.run("quickstart license --model fake/ability=0.01");
    assert_eq!(fresh.code, 0, "{}", fresh.text());
    assert!(fresh.stdout.starts_with("DENY"), "{}", fresh.stdout);
    assert_eq!(sandbox.run("verify loadline-license/license.bundle").code, 0);
    assert_eq!(sandbox.run("log fsck q/authority").code, 0);
}

//! kill -9 between any two changes that a step of an authority makes to its folder: the same command again, and there is
//! one whole log. What was registered and is not there any more is not asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loadline_testkit::gguf::{Family, Meta, Shape, model};
use rustix::process::Signal;

use crate::interrupted::signal;
use crate::licensed::Bench;

/// Every file below a folder with its size. Files come and go while this looks.
fn shape(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => found.extend(shape(&entry.path())),
            Ok(meta) => drop(found.insert(entry.path(), meta.len())),
            Err(_) => {}
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

/// Runs a command and kills it when its folder has changed so often. Gives whether it was killed before it ended. It stands
/// still while its folder is looked at, so that a busy machine does not hide a change.
fn killed_after(bench: &Bench, line: &str, changes: usize) -> bool {
    let folder = bench.sandbox.path("authority");
    let mut last = shape(&folder);
    let mut child = bench.sandbox.start(&format!("{line} --passphrase-file pass"));
    let mut seen = 0;
    while seen < changes {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        signal(&child, Signal::STOP);
        let now = shape(&folder);
        if now != last {
            (seen, last) = (seen + 1, now);
        }
        signal(&child, Signal::CONT);
    }
    child.kill().unwrap();
    std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()).is_some()
}

/// Kills a command at every change of the folder in turn, each time from the same state, and gives the command again.
/// `after` sees what that leaves.
fn killed_anywhere(bench: &Bench, line: &str, kind: &str, after: impl Fn(&Bench)) {
    killed_between(bench, line, kind, |_| {}, after);
}

/// The same; `between` sees what the kill leaves.
fn killed_between(bench: &Bench, line: &str, kind: &str, between: impl Fn(&Bench), after: impl Fn(&Bench)) {
    let (folder, kept) = (bench.sandbox.path("authority"), bench.sandbox.path("kept"));
    copy(&folder, &kept);
    let mut kills = 0;
    for changes in 1.. {
        // That it ended first may be the machine's doing.
        let is_killed = (0..3).any(|_| {
            std::fs::remove_dir_all(&folder).unwrap();
            copy(&kept, &folder);
            killed_after(bench, line, changes)
        });
        between(bench);
        let again = bench.run(line);
        assert_eq!(again.code, 0, "`{line}` again, after {changes} changes: {}", again.text());
        let logged = bench.kinds().iter().filter(|logged| *logged == kind).count();
        assert_eq!(logged, 1, "`{line}`, after {changes} changes: {:?}", bench.kinds());
        let whole = bench.sandbox.run("log fsck authority");
        assert_eq!(whole.code, 0, "`{line}`, after {changes} changes: {}", whole.text());
        after(bench);
        kills += usize::from(is_killed);
        if !is_killed {
            break;
        }
    }
    assert!(kills >= 2, "`{line}` was killed {kills} times");
}

/// The licence of the bench for `internal`, which nobody signs, is whole.
fn verifies(bench: &Bench) {
    bench.ok("license bundle -o x.bundle");
    let verified = bench.sandbox.run("verify x.bundle");
    assert_eq!(verified.code, 0, "{}", verified.text());
}

#[test]
fn a_start_that_was_killed_is_one_start() {
    let bench = Bench::new();
    bench.ok("exam commit policy.toml");
    bench.ok("model register fake/ability=0.95");
    killed_anywhere(&bench, "exam start", "start", |bench| {
        bench.ok("exam run");
        bench.ok("exam finish");
        bench.ok("license issue --stage internal");
        verifies(bench);
    });
}

#[test]
fn a_finish_that_was_killed_is_one_finish() {
    let bench = Bench::new();
    bench.begin("fake/ability=0.95");
    bench.ok("exam run");
    killed_anywhere(&bench, "exam finish", "finish", |bench| {
        bench.ok("license issue --stage internal");
        verifies(bench);
    });
}

#[test]
fn a_licence_whose_issue_was_killed_is_one_licence() {
    let bench = Bench::new();
    bench.examined("fake/ability=0.95");
    let line = "license issue --stage internal";
    let unlogged = bench.sandbox.path("authority/licenses/unlogged");
    killed_between(&bench, line, "license", has_its_name_when_logged, |bench| {
        has_its_name_when_logged(bench);
        assert!(!unlogged.exists(), "what was logged has its name");
        verifies(bench);
    });
}

/// What a kill leaves of a licence at three moments: whoever comes next finishes it, or begins anew, and nothing is left.
#[test]
fn a_licence_that_was_never_logged_is_logged_or_made_room_for() {
    let bench = Bench::new();
    let exam = bench.examined("fake/ability=0.95");
    let (folder, kept) = (bench.sandbox.path("authority"), bench.sandbox.path("kept"));
    let unlogged = folder.join("licenses/unlogged");
    copy(&folder, &kept);
    let line = "license issue --stage internal";
    bench.ok(line);
    let licence = logged_licences(&bench).remove(0);
    let named = folder.join("licenses").join(&licence);
    // Right after the log: whatever reads the licence first gives it its name.
    std::fs::rename(&named, &unlogged).unwrap();
    bench.ok("license show");
    assert!(named.join("license.json").exists() && !unlogged.exists());
    let issued = bench.sandbox.path("issued");
    copy(&folder, &issued);
    let minutes = format!("exams/{exam}/decided-internal.json");
    let decision = format!("exams/{exam}/decision-internal.json");
    for (when, has_minutes, is_signed) in
        [("before it was noted", false, true), ("before the log", true, true), ("room was made", true, false)]
    {
        std::fs::remove_dir_all(&folder).unwrap();
        copy(&kept, &folder);
        if is_signed {
            copy(&issued.join("licenses").join(&licence), &unlogged);
        }
        for file in [&minutes, &decision].into_iter().filter(|_| has_minutes) {
            std::fs::copy(issued.join(file), folder.join(file)).unwrap();
        }
        let early = bench.run(&format!("license bundle --exam {exam} -o early.bundle"));
        if has_minutes && is_signed {
            assert_eq!(early.code, 2, "{when}: {}", early.text());
            assert!(early.stderr.contains("was signed and never logged: it counts for nobody"), "{when}");
            assert!(early.stderr.contains("\n\nhint: `loadline license issue`, given again"), "{when}");
        }
        bench.ok(line);
        has_its_name_when_logged(&bench);
        assert!(!unlogged.exists(), "{when}");
        let logged = logged_licences(&bench);
        assert_eq!(logged.len(), 1, "{when}");
        assert!(
            logged[0] == licence || !(has_minutes && is_signed),
            "{when}: what was noted is what is logged"
        );
        verifies(&bench);
    }
}

/// No licence has the name of one that is logged and is not.
fn has_its_name_when_logged(bench: &Bench) {
    let logged = logged_licences(bench);
    let folders = std::fs::read_dir(bench.sandbox.path("authority/licenses")).into_iter().flatten();
    for name in folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        assert!(name == "unlogged" || logged.contains(&name), "{name} is not in the log: {logged:?}");
    }
}

/// The licences that the log names, as their folders are called.
fn logged_licences(bench: &Bench) -> Vec<String> {
    let log = bench.log();
    let licences = log.iter().filter(|entry| entry["kind"] == "license");
    let hex = |entry: &serde_json::Value| {
        entry["license"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned()
    };
    licences.map(hex).collect()
}

#[test]
fn a_revocation_that_was_killed_is_one_revocation() {
    let bench = Bench::new();
    bench.examined("fake/ability=0.95");
    let issued = bench.ok("license issue --stage internal --json").json_lines().remove(0);
    verifies(&bench);
    let license = issued["license"].as_str().unwrap().to_owned();
    killed_anywhere(&bench, &format!("license revoke {license} --reason because"), "revoke", |bench| {
        let told = bench.sandbox.run("verify x.bundle --standing authority/standing.json");
        assert_eq!(told.code, 30, "{}", told.text());
        assert!(told.stdout.contains("revoked"), "{}", told.stdout);
    });
    // Another reason is another command.
    let other = bench.run(&format!("license revoke {license} --reason otherwise"));
    assert_eq!(other.code, 2, "{}", other.text());
    assert!(other.stderr.contains("is revoked, which is for ever"), "{}", other.stderr);
}

#[test]
fn a_step_whose_propose_was_killed_is_one_step() {
    let bench = Bench::new();
    bench.examined("fake/ability=0.95");
    let issued = bench.ok("license issue --stage internal --json").json_lines().remove(0);
    verifies(&bench);
    let license = issued["license"].as_str().unwrap().to_owned();
    let line = format!("stage propose {license} --to suspended --reason doubts");
    killed_anywhere(&bench, &line, "stage", |bench| {
        let told = bench.sandbox.run("verify x.bundle --standing authority/standing.json");
        assert_eq!(told.code, 30, "{}", told.text());
        assert!(told.stdout.contains("the model stands at `suspended`: doubts"), "{}", told.stdout);
    });
}

#[test]
fn weights_that_were_exchanged_are_not_asked() {
    let bench = Bench::new();
    let mut tiny = model(&Shape::of(Family::Llama));
    for (key, value) in &mut tiny.meta {
        if key == "llama.context_length" {
            *value = Meta::Count(4096);
        }
    }
    let registered = tiny.bytes();
    let mut changed = registered.clone();
    *changed.last_mut().unwrap() ^= 1;
    let other = model(&Shape::of(Family::Qwen3)).bytes();
    bench.sandbox.write("tiny.gguf", &registered);
    bench.ok("exam commit policy.toml");
    let said = bench.ok("model register tiny.gguf");
    assert!(!said.stderr.contains("warning: no exam"), "{}", said.stderr);
    bench.ok("exam start");
    for (what, bytes) in [("one bit changed", &changed), ("another model", &other)] {
        bench.sandbox.write("tiny.gguf", bytes);
        let refused = bench.run("exam run");
        assert_eq!(refused.code, 50, "{what}: {}", refused.text());
        for word in [
            "gguf/tiny.gguf is not the model that was registered",
            "registered was tiny.gguf (sha256:",
            "which the manifest does not list",
            "\n\nhint: bring back the registered file, or register the new one",
        ] {
            assert!(refused.stderr.contains(word), "{what}: {}", refused.stderr);
        }
        assert!(!bench.kinds().contains(&"resume".to_owned()), "nothing was asked");
    }
    bench.sandbox.write("tiny.gguf", &registered);
    let asked = bench.run("exam run");
    assert_eq!(asked.code, 0, "{}", asked.text());
}

/// Registering uses up a commitment, so what cannot be examined is said then and not when the exam begins.
#[test]
fn a_model_that_no_exam_can_ask_is_warned_of_when_it_is_registered() {
    let bench = Bench::new();
    let good = || model(&Shape::of(Family::Llama));
    let mut unknown = good();
    unknown.meta[0].1 = Meta::Text("hyena".to_owned());
    let mut quantised = good();
    quantised.tensors[3].2 = 23;
    for (name, bytes, why) in [
        ("zip.gguf", b"PK\x03\x04 a zip file".to_vec(), "`zip.gguf` is not a GGUF file"),
        ("model.safetensors", b"{}".to_vec(), "`model.safetensors` is not a GGUF file"),
        ("unknown.gguf", unknown.bytes(), "of the architecture `hyena`, which is not known (known are llama"),
        ("quantised.gguf", quantised.bytes(), "of the type IQ4_XS, which is not supported (take a file"),
    ] {
        bench.sandbox.write(name, bytes);
        bench.ok("exam commit policy.toml");
        let said = bench.ok(&format!("model register {name}"));
        let start = "warning: no exam can ask this model in this process: ";
        let warning = said.stderr.lines().find(|line| line.starts_with(start));
        assert!(warning.is_some_and(|line| line.contains(why)), "{name}: {}", said.stderr);
        assert!(said.stderr.contains("--served-as MODEL"), "{name}: {}", said.stderr);
        // Served by somebody, it can be asked.
        bench.ok("exam commit policy.toml");
        let served = bench.ok(&format!("model register {name} --served-as openai/mine"));
        assert!(!served.stderr.contains("warning: no exam"), "{name}: {}", served.stderr);
    }
}

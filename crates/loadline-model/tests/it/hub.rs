//! Files from a hub.

use std::path::Path;
use std::time::Duration;

use loadline_core::{Digest, ModelErrorKind};
use loadline_model::Environment;
use loadline_model::hub::{Fetched, Hub, HubError, HubFile, Progress};
use loadline_testkit::hub::{FakeHub, HubFault};

use crate::run;

const PATH: &str = "org/model/resolve/main/model.gguf";

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn file() -> HubFile {
    HubFile { repo: "org/model".to_owned(), revision: "main".to_owned(), file: "model.gguf".to_owned() }
}

fn hub(fake: &FakeHub) -> Hub {
    let environment = Environment::of([("HF_ENDPOINT", fake.endpoint().as_str()), ("HF_TOKEN", "hf_secret")]);
    Hub::open(&environment).unwrap().with_pause(Duration::from_micros(100))
}

fn fetch(fake: &FakeHub, to: &Path, expected: Option<Digest>) -> (Result<Fetched, HubError>, Vec<Progress>) {
    let mut steps = Vec::new();
    let fetched = run(hub(fake).fetch(&file(), to, expected.as_ref(), &mut |step| steps.push(step)));
    (fetched, steps)
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_fetched_checked_and_put_in_its_place() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let digest = Digest::of(&content);
    let fake = FakeHub::start(PATH, &content, &digest.hex(), Vec::new());
    let to = folder.path().join("new/model.gguf");
    let (fetched, steps) = fetch(&fake, &to, Some(digest));
    let fetched = fetched.unwrap();
    assert_eq!((fetched.size, fetched.digest, fetched.resumed_from), (1_200_000, digest, 0));
    assert_eq!(fetched.commit.unwrap().len(), 40);
    assert_eq!(std::fs::read(&to).unwrap(), content);
    assert_eq!(names(to.parent().unwrap()), ["model.gguf"]);
    assert_eq!(steps.first(), Some(&Progress { done: 0, total: Some(1_200_000) }));
    assert_eq!(steps.last(), Some(&Progress { done: 1_200_000, total: Some(1_200_000) }));
    assert!(steps.is_sorted_by_key(|step| step.done));
    // The token goes to the hub and not to the content network.
    let seen = fake.seen();
    let token =
        |host: &str| seen.iter().filter(|seen| seen.host == host).all(|seen| seen.authorization.is_some());
    assert!(token("127.0.0.1") && !token("localhost"), "{seen:?}");
    let asked: Vec<_> = seen.iter().map(|seen| (seen.method.as_str(), seen.host.as_str())).collect();
    assert_eq!(asked, [("HEAD", "127.0.0.1"), ("GET", "127.0.0.1"), ("GET", "localhost")]);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let faults = vec![
        Some(HubFault::CutAfter(400_000)),
        Some(HubFault::Status(503)),
        Some(HubFault::CutAfter(10)),
        None,
    ];
    let fake = FakeHub::start(PATH, &content, "etag", faults);
    let to = folder.path().join("model.gguf");
    let (fetched, steps) = fetch(&fake, &to, Some(Digest::of(&content)));
    assert_eq!(fetched.unwrap().size, 1_200_000);
    assert_eq!(std::fs::read(&to).unwrap(), content);
    assert!(steps.is_sorted_by_key(|step| step.done), "nothing is fetched twice");
    let ranges: Vec<_> =
        fake.seen().into_iter().filter(|seen| seen.host == "localhost").map(|seen| seen.range).collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1], ranges[2]);
    assert!(ranges[1].as_deref().unwrap().starts_with("bytes="));
    assert_ne!(ranges[2], ranges[3]);
}

#[test]
fn what_an_earlier_process_left_is_used_only_if_it_is_the_same_file() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let to = folder.path().join("model.gguf");
    // A first process gives up: more faults than attempts, after 1,000 bytes.
    let mut faults = vec![Some(HubFault::CutAfter(1000))];
    faults.extend([Some(HubFault::Status(500)); 10]);
    let fake = FakeHub::start(PATH, &content, "etag-1", faults);
    let (given_up, _) = fetch(&fake, &to, None);
    assert!(matches!(given_up, Err(HubError::Endpoint(error)) if error.kind == ModelErrorKind::Server));
    assert!(!to.exists());
    // The same content goes on …
    let (fetched, steps) = fetch(&FakeHub::start(PATH, &content, "etag-1", Vec::new()), &to, None);
    assert_eq!(fetched.unwrap().resumed_from, 1000);
    assert_eq!(steps[0].done, 1000);
    assert_eq!(std::fs::read(&to).unwrap(), content);
    // … and other content starts anew.
    let (again, _) = fetch(&FakeHub::start(PATH, b"other", "etag-2", Vec::new()), &to, None);
    assert_eq!((again.unwrap().resumed_from, std::fs::read(&to).unwrap()), (0, b"other".to_vec()));
}

#[test]
fn a_server_that_ignores_ranges_or_has_a_shorter_file_is_no_trap() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let to = folder.path().join("model.gguf");
    let faults = vec![Some(HubFault::CutAfter(5000)), Some(HubFault::IgnoreRange)];
    let (fetched, _) =
        fetch(&FakeHub::start(PATH, &content, "etag", faults), &to, Some(Digest::of(&content)));
    assert_eq!(fetched.unwrap().size, 1_200_000);
    // A part that is longer than the file.
    let small = FakeHub::start(PATH, b"small", "small", Vec::new());
    fetch(&small, &to, None).0.unwrap();
    let part = folder.path().join(format!("model.gguf.{}.part", &Digest::of(b"small").hex()[..12]));
    std::fs::write(&part, b"much too long").unwrap();
    fetch(&small, &to, Some(Digest::of(b"small"))).0.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), b"small");
}

#[test]
fn wrong_content_never_gets_its_name() {
    let (folder, content) = (tempfile::tempdir().unwrap(), content());
    let to = folder.path().join("model.gguf");
    let digest = Digest::of(&content);
    // Against the expected digest, and against the one that the hub itself gives.
    for (etag, expected) in [("etag".to_owned(), Some(digest)), (digest.hex(), None)] {
        let fake = FakeHub::start(PATH, &content, &etag, vec![Some(HubFault::WrongByte)]);
        let (fetched, _) = fetch(&fake, &to, expected);
        let error = fetched.unwrap_err();
        assert!(matches!(error, HubError::Digest { .. }), "{error}");
        assert!(error.to_string().contains("org/model/model.gguf") && error.hint().is_some());
        assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
        // The next attempt starts over and succeeds.
        fetch(&fake, &to, expected).0.unwrap();
        std::fs::remove_file(&to).unwrap();
    }
}

#[test]
fn what_is_not_there_and_names_that_cannot_be_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("x");
    let fake = FakeHub::start(PATH, b"", "etag", Vec::new());
    let missing = HubFile { file: "other.gguf".to_owned(), ..file() };
    let error = run(hub(&fake).fetch(&missing, &to, None, &mut |_| {})).unwrap_err();
    assert!(error.to_string().contains("404") && error.to_string().contains("EntryNotFound"), "{error}");
    assert!(error.hint().unwrap().contains("names"));
    assert!(!error.to_string().contains("hf_secret"));
    for bad in ["../../etc/passwd", "/abs", "a//b", "a b", "", "..", "a/../b", "a?b", "a%2e"] {
        let file = HubFile { file: bad.to_owned(), ..file() };
        let error = run(hub(&fake).fetch(&file, &to, None, &mut |_| {})).unwrap_err();
        assert!(matches!(error, HubError::Name { .. }), "{bad}: {error}");
    }
    assert_eq!(fake.seen().len(), 1);
}

#[test]
fn two_processes_do_not_write_one_part() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("model.gguf");
    let part = folder.path().join(format!("model.gguf.{}.part", &Digest::of(b"etag").hex()[..12]));
    let other = std::fs::File::create(&part).unwrap();
    other.lock().unwrap();
    let error = fetch(&FakeHub::start(PATH, b"x", "etag", Vec::new()), &to, None).0.unwrap_err();
    assert!(matches!(error, HubError::Busy(_)), "{error}");
}

#[test]
fn the_hubs_own_cache_and_token_are_found() {
    let home = tempfile::tempdir().unwrap();
    let repo = home.path().join("hub/models--org--model");
    std::fs::create_dir_all(repo.join("refs")).unwrap();
    std::fs::create_dir_all(repo.join("snapshots/abc")).unwrap();
    std::fs::write(repo.join("refs/main"), "abc").unwrap();
    let environment = Environment::of([("HF_HOME", home.path().to_str().unwrap())]);
    let hub = Hub::open(&environment).unwrap();
    assert_eq!(hub.cached(&file()), None);
    std::fs::write(repo.join("snapshots/abc/model.gguf"), "x").unwrap();
    assert_eq!(hub.cached(&file()), Some(repo.join("snapshots/abc/model.gguf")));
    assert!(Hub::open(&Environment::of([("HF_ENDPOINT", "hub.example")])).is_err());
}

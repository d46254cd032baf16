//! What whoever runs a programme has done: read strictly, done once, told again after a lost answer.

use std::sync::Mutex;

use loadline_access::errand::{self, Done, MAX_ERRAND_BYTES};
use loadline_access::refusal::Code;
use loadline_access::request::Verdict;
use loadline_access::{Desk, Errand, Refusal};
use loadline_evidence::disk::RealDisk;
use loadline_gate::keys::{KeyFile, KeyState};

use crate::support::{Office, at};

fn errand(text: &str) -> Errand {
    Errand::parse(text.as_bytes()).unwrap()
}

fn about(verb: &str, id: &str) -> Errand {
    errand(&format!("{{\"{verb}\":{{\"application\":\"{id}\"}}}}"))
}

#[test]
fn an_errand_is_read_as_it_is_written_and_with_nothing_else_in_it() {
    for text in [
        r#"{"draw":{"round":"r","beacon":"8f1c"}}"#,
        r#"{"draw":{"round":"r"}}"#,
        r#"{"grant":{"application":"a"}}"#,
        r#"{"revoke":{"application":"a"}}"#,
        r#"{"erase":{"application":"a"}}"#,
        r#""usage""#,
    ] {
        assert_eq!(serde_json::to_string(&errand(text)).unwrap(), text);
    }
    let long = format!("\"usage\"{}", " ".repeat(MAX_ERRAND_BYTES));
    for (text, why) in [
        ("", "EOF"),
        ("\u{0}", "expected value"),
        (r#"{"open":{"application":"a"}}"#, "unknown variant `open`"),
        (r#"{"revoke":{"application":"a","keys":"/etc/keys.json"}}"#, "unknown field `keys`"),
        (r#"{"usage":{"audit":"/var/lib/audit"}}"#, "expected unit"),
        (r#"{"revoke":{"application":"a"},"erase":{"application":"a"}}"#, ""),
        (r#"{"revoke":{"application":"a","application":"b"}}"#, "duplicate field"),
        (r#"{"revoke":{"application":["a"]}}"#, "expected a string"),
        (r#"{"draw":{}}"#, "missing field `round`"),
        (r#""usage" "usage""#, "trailing"),
        (long.as_str(), "at most 4096"),
    ] {
        let refusal = Errand::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refusal.code, Code::BadRequest, "{text}");
        assert!(refusal.message.contains("no errand") && refusal.message.contains(why), "{refusal}");
        assert!(refusal.hint.contains("\"revoke\""), "{}", refusal.hint);
    }
    assert!(Errand::parse("[".repeat(4000).as_bytes()).is_err(), "however deep it is");
}

/// A programme whose only application has a place.
struct Admitted {
    office: Office,
    desk: Mutex<Desk>,
    id: String,
}

impl Admitted {
    fn new(more: &str) -> Self {
        let mut office = Office::with(more);
        let id = office.apply("ada", "uni.example");
        office.decide(&id, Verdict::Accept);
        office.now = at("2027-01-01T00:00:00Z");
        let desk = Mutex::new(office.desk.take().unwrap());
        let admitted = Self { office, desk, id };
        let Done::Drawn(drawn) = admitted.run(&errand(r#"{"draw":{"round":"2026-1"}}"#)).unwrap() else {
            panic!("no draw")
        };
        assert!(drawn.order.iter().eq([&admitted.id]));
        admitted
    }

    fn run(&self, errand: &Errand) -> Result<Done, Refusal> {
        errand::run(&self.desk, errand, self.office.now)
    }

    fn refused(&self, errand: &Errand) -> Refusal {
        self.run(errand).map(|_| ()).unwrap_err()
    }

    fn states(&self) -> Vec<KeyState> {
        let path = self.desk.lock().unwrap().programme().keys.clone();
        let file = KeyFile::read(&RealDisk, &path).unwrap();
        file.keys().iter().map(|key| key.state(self.office.now)).collect()
    }
}

#[test]
fn a_key_goes_through_an_answer_whole_and_shows_nowhere_else() {
    let admitted = Admitted::new("");
    let done = admitted.run(&about("grant", &admitted.id)).unwrap();
    let sent = serde_json::to_string(&done).unwrap();
    let Done::Granted(granted) = &done else { panic!("no key") };
    let secret = granted.secret.expose().to_owned();
    assert!(secret.starts_with("llk_") && !format!("{done:?}").contains(&secret));
    let Done::Granted(arrived) = serde_json::from_str(&sent).unwrap() else { panic!("no key") };
    assert!(arrived.secret == granted.secret && arrived.key == granted.key);
    assert_eq!(arrived.expires, granted.expires);
    let written = std::fs::read_dir(admitted.office.folder.path()).unwrap();
    let state = std::fs::read_dir(admitted.office.state()).unwrap();
    for entry in written.chain(state).map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(&secret), "{}", entry.path().display());
    }
}

#[test]
fn whoever_lost_an_answer_is_told_what_was_done_and_how_a_lost_key_is_replaced() {
    let admitted = Admitted::new("");
    let id = &admitted.id;
    let Done::Granted(granted) = admitted.run(&about("grant", id)).unwrap() else { panic!("no key") };
    let again = admitted.refused(&about("grant", id));
    let rotate = format!("`loadline gate key rotate KEYS {}`", granted.key);
    assert!(again.message.contains("shown once") && again.hint.contains(&rotate), "{again:?}");
    // The gate's own verb puts another in its place, and what takes the place is revoked with it.
    let path = admitted.desk.lock().unwrap().programme().keys.clone();
    let (mut file, lock) = KeyFile::edit(&RealDisk, &path).unwrap();
    file.rotate(&granted.key, 0, admitted.office.now, &admitted.office.random).unwrap();
    // While somebody has the file nothing is half done, and the next try does it.
    let busy = admitted.refused(&about("revoke", id));
    assert_eq!(busy.code, Code::Unavailable, "{busy}");
    file.write(&RealDisk).unwrap();
    drop(lock);
    let works = admitted.refused(&about("erase", id));
    assert!(works.message.contains("still works") && works.hint.contains("access revoke"), "{works:?}");
    assert!(
        matches!(admitted.run(&about("revoke", id)).unwrap(), Done::Revoked { application, keys } if application == *id && keys.len() == 2)
    );
    assert_eq!(admitted.states(), [KeyState::Revoked, KeyState::Revoked]);
    let again = admitted.refused(&about("revoke", id));
    assert_eq!(again.message, "its key was revoked at 2027-01-01T00:00:00Z");
    for _ in 0..2 {
        assert!(matches!(admitted.run(&about("erase", id)).unwrap(), Done::Erased(erased) if erased == *id));
    }
    let drawn = admitted.refused(&errand(r#"{"draw":{"round":"2026-1"}}"#));
    assert!(drawn.hint.contains("lottery show"), "{drawn:?}");
}

#[test]
fn usage_reads_the_log_that_the_programme_names_and_says_what_is_wrong_with_it() {
    let nowhere = Admitted::new("").refused(&Errand::Usage);
    assert!(nowhere.code == Code::Unknown && nowhere.hint.contains("audit ="), "{nowhere:?}");
    let admitted = Admitted::new("audit = \"audit\"\n");
    let missing = admitted.refused(&Errand::Usage);
    assert!(missing.code == Code::Unknown && missing.message.contains("no audit log"), "{missing}");
    let unknown = admitted.refused(&about("revoke", "../keys.json"));
    assert_eq!(unknown, Refusal::no_application());
}

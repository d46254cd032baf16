//! A log's ordinary life.

use std::path::Path;

use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::{ExportFilter, export, verify};
use loadline_gate::ledger::{Audit, Event, Keep, Quota, Refused, RequestId};
use loadline_gate::quota::QuotaLedger;

use super::sim::SimDisk;
use super::support::{DIR, block_on, charge, intent, open, options, outcome};

#[test]
fn what_is_asked_and_what_becomes_of_it_is_written_verified_exported_and_erased() {
    let disk = SimDisk::default();
    let (log, found) = open(&disk, 1500).unwrap();
    assert_eq!(found, Default::default());
    for number in 0..12 {
        let keep = if number % 2 == 0 { Keep::Full } else { Keep::Digest };
        let mut recorded = block_on(log.intent(intent(number, keep))).unwrap();
        recorded.content.write(b"ans");
        recorded.content.write(b"wer");
        match number % 4 {
            3 => drop(recorded),
            _ => log.outcome(recorded, outcome(number)),
        }
    }
    log.refused(Refused {
        request: RequestId([9; 16]),
        at_ms: 5,
        key: None,
        model: Some("a\u{1b}[31mb".into()),
        code: "no_key",
    });
    block_on(log.event(Event::Ended)).unwrap();
    log.ready().unwrap();
    let usage = log.book().accounts["quota/q"];
    // 9 outcomes of 10 + number, 3 that stay charged at 100.
    assert_eq!(usage.term_tokens, 9 * 10 + (0..12).filter(|n| n % 4 != 3).sum::<u64>() + 300);
    let live = verify(&disk, Path::new(DIR), None).unwrap();
    assert_eq!((live.intents, live.outcomes, live.unsettled, live.open), (12, 9, 3, 0));
    log.close().unwrap();

    let done = verify(&disk, Path::new(DIR), None).unwrap();
    assert_eq!((done.signed, done.torn_bytes, done.mark), (Some(done.mark.rows), 0, live.mark));
    assert!(done.segments > 3, "{done:?}");
    let lines = |filter: &ExportFilter| {
        let mut out = Vec::new();
        let count = export(&disk, Path::new(DIR), filter, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count() as u64, count);
        text
    };
    let all = lines(&ExportFilter::default());
    assert_eq!(all.lines().count() as u64, done.mark.rows);
    assert!(!all.contains("subject-") && !all.contains("question") && !all.contains('\u{1b}'));
    let of = |name: &str| ExportFilter { subject: Some(name.into()), content: true, ..Default::default() };
    let one = lines(&of("subject-0"));
    // Requests 0, 3, 6, 9, with what became of them; 0 and 6 are kept, both bodies.
    assert_eq!((one.lines().count(), one.matches("\"body\"").count()), (8, 4));
    assert!(one.contains("\"body\":\"cXVlc3Rpb24gMA==\"") && one.contains("\"body\":\"YW5zd2Vy\""));

    let (log, found) = open(&disk, 1500).unwrap();
    assert_eq!((found.unsettled.len(), found.bytes_cut), (0, 0));
    assert_eq!(log.book().accounts["quota/q"], usage);
    assert!(log.erase("subject-0").unwrap() && !log.erase("subject-0").unwrap());
    log.close().unwrap();
    let after = verify(&disk, Path::new(DIR), None).unwrap();
    assert_eq!(after.mark.rows, done.mark.rows + 2);
    let error = export(&disk, Path::new(DIR), &of("subject-0"), &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "no subject is named `subject-0`");
    assert_eq!(error.hint(), "`loadline gate audit erase --list` shows all names");
    let all = lines(&ExportFilter { content: true, ..Default::default() });
    assert_eq!(all.matches("\"body\"").count(), 12 - 4);
}

#[test]
fn an_intent_that_nobody_ends_stays_charged_and_is_found_by_the_next_process() {
    let disk = SimDisk::default();
    let (log, _) = open(&disk, 1 << 20).unwrap();
    let recorded = block_on(log.intent(intent(1, Keep::Digest))).unwrap();
    let id = recorded.id.0;
    let killed = disk.killed();
    let (log, found) = open(&killed, 1 << 20).unwrap();
    assert_eq!(found.unsettled, [id]);
    let ledger = QuotaLedger::from_book(&log.book());
    let limits = loadline_gate::ledger::Limits { tokens_per_minute: Some(150), ..Default::default() };
    let error = ledger.reserve(&[charge(limits)], 51, 1_700_000_000_000).unwrap_err();
    assert_eq!((error.used, error.most), (100, 150));
    log.close().unwrap();
    let (log, found) = open(&killed, 1 << 20).unwrap();
    assert!(found.unsettled.is_empty());
    drop(log);
    let verified = verify(&killed, Path::new(DIR), None).unwrap();
    assert_eq!((verified.unsettled, verified.open), (1, 0));
}

#[test]
fn a_flood_of_refusals_does_not_fill_the_disk_and_is_counted() {
    let disk = SimDisk::default();
    let (log, _) = open(&disk, 1 << 20).unwrap();
    let refused =
        |at_ms| Refused { request: RequestId([9; 16]), at_ms, key: None, model: None, code: "no_key" };
    for at_ms in (0..10_000).map(|number| number / 5_000 * 1_000) {
        log.refused(refused(at_ms));
    }
    log.refused(refused(5_000));
    log.close().unwrap();
    let mut out = Vec::new();
    export(&disk, Path::new(DIR), &ExportFilter::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("\"refused\"").count(), 201);
    assert_eq!(text.matches("\"skipped\":4900").count(), 2, "{text}");
}

#[test]
fn two_gates_never_write_one_log_and_a_log_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let disk = std::sync::Arc::new(RealDisk);
    let open = |name: &str| {
        let mut options = options(folder.path().join("audit"), 1 << 20);
        options.name = name.to_owned();
        loadline_gate::audit::AuditLog::open(disk.clone(), options)
    };
    let (log, _) = open("one").unwrap();
    let error = open("one").map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("is being written by process"), "{error}");
    assert!(error.hint().starts_with("a gate is writing it"));
    drop(log);
    let error = open("two").map(|_| ()).unwrap_err();
    assert!(error.to_string().ends_with("is named `one`, not `two`"), "{error}");
    #[cfg(unix)]
    for file in ["signer.key", "segment-00000000000000000000"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join("audit").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
    assert!(open("one").is_ok());
}

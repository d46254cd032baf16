//! Quotas, with everybody at once.

use std::sync::atomic::{AtomicU64, Ordering};

use loadline_gate::audit::book::{Book, OpenIntent};
use loadline_gate::ledger::{Account, Charge, Limits, Quota};
use loadline_gate::quota::QuotaLedger;
use proptest::prelude::*;

use super::sim::Dice;

fn charge(name: &str, limits: Limits) -> Charge {
    Charge { account: Account::quota(name), limits }
}

#[test]
fn five_hundred_callers_at_once_never_get_more_than_there_is() {
    let ledger = QuotaLedger::default();
    let own = Limits { tokens_per_minute: Some(1_000), ..Limits::default() };
    let all = Limits { tokens_per_term: Some(60_000), tokens_per_day: Some(100_000), ..Limits::default() };
    let (granted, settled, held_most) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let at_once = std::sync::Barrier::new(500);
    std::thread::scope(|scope| {
        for caller in 0..500_u64 {
            let (ledger, granted, settled, held_most, at_once) =
                (&ledger, &granted, &settled, &held_most, &at_once);
            std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn_scoped(scope, move || {
                    let mut dice = Dice(caller);
                    let charges = [charge(&format!("own-{}", caller % 50), own), charge("all", all)];
                    at_once.wait();
                    for _ in 0..20 {
                        let tokens = dice.roll(200);
                        let Ok(held) = ledger.reserve(&charges, tokens, 0) else { continue };
                        granted.fetch_add(1, Ordering::Relaxed);
                        held_most.fetch_max(ledger.usage(&charges[1].account).term_tokens, Ordering::Relaxed);
                        let used = dice.roll(tokens + 1);
                        settled.fetch_add(used, Ordering::Relaxed);
                        ledger.settle(held, used);
                    }
                })
                .unwrap();
        }
    });
    let usage = ledger.usage(&Account::quota("all"));
    assert_eq!(usage.term_tokens, settled.load(Ordering::Relaxed), "exact to the token");
    assert!(held_most.load(Ordering::Relaxed) <= 60_000);
    assert!(granted.load(Ordering::Relaxed) > 100);
    for own in 0..50 {
        assert!(ledger.usage(&Account::quota(&format!("own-{own}"))).minute_tokens <= 1_000);
    }
}

#[test]
fn the_last_tokens_go_to_exactly_as_many_as_there_are() {
    for round in 0..20 {
        let ledger = QuotaLedger::default();
        let few = [charge("few", Limits { tokens_per_term: Some(70), ..Limits::default() })];
        let granted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        granted
                            .fetch_add(u64::from(ledger.reserve(&few, 1, round).is_ok()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(granted.load(Ordering::Relaxed), 70);
    }
}

/// One thing that happens to an account.
#[derive(Clone, Debug)]
enum Step {
    Reserve { account: u8, tokens: u64, at_ms: u64 },
    Settle { which: usize, used: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reserve = (0..3_u8, 0..50_u64, 0..200_000_u64).prop_map(|(account, tokens, at_ms)| Step::Reserve {
        account,
        tokens,
        at_ms,
    });
    let settle = (any::<usize>(), 0..50_u64).prop_map(|(which, used)| Step::Settle { which, used });
    prop::collection::vec(prop_oneof![reserve, settle], 0..120)
}

proptest! {
    /// The ledger in memory and the one that a restart rebuilds from the log's rows are the same, and no limit is ever
    /// passed by what is reserved, whatever the clock does.
    #[test]
    fn a_ledger_rebuilt_from_the_log_is_the_one_there_was(steps in steps()) {
        let limits = Limits { tokens_per_minute: Some(100), tokens_per_term: Some(400), ..Limits::default() };
        let (ledger, mut book) = (QuotaLedger::default(), Book::default());
        let mut held = Vec::new();
        for (row, step) in (0_u64..).zip(steps) {
            match step {
                Step::Reserve { account, tokens, at_ms } => {
                    let charge = charge(&account.to_string(), limits);
                    let before = ledger.usage(&charge.account);
                    match ledger.reserve(std::slice::from_ref(&charge), tokens, at_ms) {
                        Ok(reservation) => {
                            let usage = ledger.usage(&charge.account);
                            prop_assert!(usage.minute_tokens <= 100 && usage.term_tokens <= 400);
                            let accounts = vec![charge.account.name().to_owned()];
                            book.intent(row, OpenIntent { at_ms, accounts, reserved: tokens });
                            held.push((row, reservation));
                        }
                        Err(exceeded) => {
                            prop_assert!(exceeded.used + exceeded.asked > exceeded.most);
                            prop_assert_eq!(ledger.usage(&charge.account), before);
                        }
                    }
                }
                Step::Settle { which, used } if !held.is_empty() => {
                    let (row, reservation) = held.swap_remove(which % held.len());
                    let used = used.min(reservation.tokens);
                    ledger.settle(reservation, used);
                    prop_assert!(book.settle(row, Some(used)));
                }
                Step::Settle { .. } => {}
            }
        }
        let rebuilt = QuotaLedger::from_book(&book);
        for account in 0..3_u8 {
            let account = Account::quota(&account.to_string());
            prop_assert_eq!(rebuilt.usage(&account), ledger.usage(&account));
        }
    }
}

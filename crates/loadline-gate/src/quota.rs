//! Quotas: whole tokens, set aside before a request is forwarded and settled after. All accounts are behind one lock,
//! held for some hundred nanoseconds: a request draws on several accounts or on none, whatever happens at once.
//!
//! What has been used is rebuilt from the audit log: see [`crate::audit::book`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::audit::book::{Book, Usage};
use crate::ledger::{Account, Charge, Exceeded, Quota, Reservation};

/// What every account has used.
#[derive(Debug, Default)]
pub struct QuotaLedger(Mutex<HashMap<Account, Usage>>);

impl QuotaLedger {
    /// The ledger that goes on from a log.
    pub fn from_book(book: &Book) -> Self {
        let accounts = book.accounts.iter().map(|(name, usage)| (Account::named(name), *usage));
        Self(Mutex::new(accounts.collect()))
    }

    /// What an account has used.
    pub fn usage(&self, account: &Account) -> Usage {
        self.lock().get(account).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Account, Usage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first limit that an account would go over.
fn exceeded(charge: &Charge, usage: &Usage, tokens: u64, now_ms: u64) -> Option<Exceeded> {
    let limits = &charge.limits;
    let minute = Some(usage.window_ends_in(false, now_ms));
    let day = Some(usage.window_ends_in(true, now_ms));
    let checks = [
        ("requests_per_minute", limits.requests_per_minute, usage.minute_requests, 1, minute),
        ("tokens_per_minute", limits.tokens_per_minute, usage.minute_tokens, tokens, minute),
        ("tokens_per_day", limits.tokens_per_day, usage.day_tokens, tokens, day),
        ("tokens_per_term", limits.tokens_per_term, usage.term_tokens, tokens, None),
    ];
    checks.into_iter().find_map(|(limit, most, used, asked, ends_in)| {
        let most = most?;
        if used.checked_add(asked).is_some_and(|sum| sum <= most) {
            return None;
        }
        // What is more than the limit alone never fits, however long one waits.
        let retry_after_ms = ends_in.filter(|_| asked <= most);
        Some(Exceeded { account: charge.account.clone(), limit, most, used, asked, retry_after_ms })
    })
}

impl Quota for QuotaLedger {
    fn reserve(&self, charges: &[Charge], tokens: u64, now_ms: u64) -> Result<Reservation, Exceeded> {
        let mut accounts = self.lock();
        let mut before: Vec<(&Account, Usage)> = Vec::with_capacity(charges.len());
        for charge in charges {
            let usage = match accounts.get_mut(&charge.account) {
                Some(usage) => usage,
                None => accounts.entry(charge.account.clone()).or_default(),
            };
            before.push((&charge.account, *usage));
            usage.roll(now_ms);
            if let Some(exceeded) = exceeded(charge, usage, tokens, now_ms) {
                // The last first: an account may stand there twice.
                for (account, usage) in before.into_iter().rev() {
                    accounts.insert(account.clone(), usage);
                }
                return Err(exceeded);
            }
            usage.charge(now_ms, tokens);
        }
        let accounts = charges.iter().map(|charge| charge.account.clone()).collect();
        Ok(Reservation { accounts, tokens, at_ms: now_ms })
    }

    fn settle(&self, reservation: Reservation, used: u64) {
        let mut accounts = self.lock();
        for account in &reservation.accounts {
            if let Some(usage) = accounts.get_mut(account) {
                usage.settle(reservation.at_ms, reservation.tokens, used);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Limits;

    fn charge(name: &str, limits: Limits) -> Charge {
        Charge { account: Account::quota(name), limits }
    }

    #[test]
    fn all_accounts_are_charged_or_none() {
        let ledger = QuotaLedger::default();
        let wide = charge("wide", Limits::default());
        let narrow = charge("narrow", Limits { tokens_per_minute: Some(10), ..Limits::default() });
        let error = ledger.reserve(&[wide.clone(), narrow.clone()], 11, 0).unwrap_err();
        assert_eq!((error.limit, error.most, error.used, error.asked), ("tokens_per_minute", 10, 0, 11));
        assert_eq!(error.retry_after_ms, None);
        assert_eq!(ledger.usage(&wide.account), Usage::default());
        let held = ledger.reserve(&[wide.clone(), narrow.clone()], 10, 0).unwrap();
        let error = ledger.reserve(&[wide.clone(), narrow.clone()], 1, 59_000).unwrap_err();
        assert_eq!(error.retry_after_ms, Some(1_000));
        ledger.settle(held, 4);
        assert_eq!(ledger.usage(&wide.account).term_tokens, 4);
        assert!(ledger.reserve(&[wide, narrow], 6, 0).is_ok());
    }

    #[test]
    fn an_account_twice_in_one_request_counts_twice() {
        let ledger = QuotaLedger::default();
        let both = charge("a", Limits { tokens_per_term: Some(10), ..Limits::default() });
        assert!(ledger.reserve(&[both.clone(), both.clone()], 6, 0).is_err());
        assert_eq!(ledger.usage(&both.account), Usage::default());
        let held = ledger.reserve(&[both.clone(), both.clone()], 5, 0).unwrap();
        ledger.settle(held, 1);
        assert_eq!(ledger.usage(&both.account).term_tokens, 2);
    }

    #[test]
    fn requests_are_counted_and_sums_do_not_wrap() {
        let ledger = QuotaLedger::default();
        let few = charge("few", Limits { requests_per_minute: Some(2), ..Limits::default() });
        let most = charge("most", Limits { tokens_per_day: Some(u64::MAX), ..Limits::default() });
        for _ in 0..2 {
            let _held = ledger.reserve(std::slice::from_ref(&few), 0, 0).unwrap();
        }
        assert_eq!(
            ledger.reserve(std::slice::from_ref(&few), 0, 0).unwrap_err().limit,
            "requests_per_minute"
        );
        assert!(ledger.reserve(&[few], 0, 60_000).is_ok());
        let _held = ledger.reserve(std::slice::from_ref(&most), u64::MAX, 0).unwrap();
        assert!(ledger.reserve(&[most], 1, 0).is_err());
    }
}

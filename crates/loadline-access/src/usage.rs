//! What grants have used, from the audit log of the gate: the same fold over its rows that its quotas are rebuilt from.

use std::path::Path;

use loadline_core::Instant;
use loadline_evidence::disk::Disk;
use loadline_evidence::endless;
use loadline_gate::audit::AuditOpenError;
use loadline_gate::audit::book::Book as AuditBook;
use loadline_gate::audit::rows::Row as AuditRow;
use loadline_gate::ledger::Account;
use serde::{Deserialize, Serialize};

use crate::book::{Book, Grant};
use crate::desk::{quota, token_quota};

/// What one grant has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The application, or the token by its nullifier.
    pub grant: String,
    /// The key.
    pub key: String,
    /// Whether it works.
    pub works: bool,
    /// Tokens in all; what is under way counts as reserved.
    pub tokens: u64,
    /// How many reports came.
    pub reports: u64,
}

/// The accounts of a gate.
pub struct Accounts(AuditBook);

/// Reads a gate's audit log. Takes its time, and works while the gate writes it.
///
/// # Errors
/// When there is no log, or a byte of it has changed.
pub fn read(disk: &dyn Disk, audit: &Path) -> Result<Accounts, AuditOpenError> {
    loadline_gate::audit::name(disk, audit)?;
    let mut accounts = AuditBook::default();
    endless::read(disk, audit, 0, None, |row| {
        accounts.apply(row.number, row.begins_segment, &AuditRow::parse(row.payload)?)
    })?;
    Ok(Accounts(accounts))
}

/// What each grant has used, by the accounts of the gate.
pub fn of(Accounts(accounts): &Accounts, book: &Book, now: Instant) -> Vec<Used> {
    let granted = book.cases.iter().filter_map(|(id, case)| Some((id, case, case.grant.as_ref()?)));
    let line = |name: String, grant: &Grant, reports: usize| {
        let account = Account::quota(&name);
        Used {
            key: grant.key.clone(),
            works: grant.works(now),
            tokens: accounts.accounts.get(account.name()).map_or(0, |usage| usage.term_tokens),
            reports: reports as u64,
            grant: name,
        }
    };
    let granted = granted.map(|(id, case, grant)| line(quota(id), grant, case.reports.len()));
    let anonymous = book.spent.iter().map(|(nullifier, grant)| line(token_quota(nullifier), grant, 0));
    granted.chain(anonymous).collect()
}

//! What the rows of the log come to: which intents are open, and what each account has used. A fold over the rows in
//! their order and nothing else, so that whoever has the rows comes to the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rows::Row;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// What an account has used, in whole tokens. A window that a moment is before stays as it is: a clock that goes back
/// never gives anything back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// The minute, counted from 1970.
    pub minute: u64,
    /// Requests in it.
    pub minute_requests: u64,
    /// Tokens in it.
    pub minute_tokens: u64,
    /// The day (UTC), counted from 1970.
    pub day: u64,
    /// Tokens in it.
    pub day_tokens: u64,
    /// Tokens in all.
    pub term_tokens: u64,
}

impl Usage {
    /// Opens the windows of a moment, if it is after those that are open.
    pub fn roll(&mut self, at_ms: u64) {
        if at_ms / MINUTE_MS > self.minute {
            (self.minute, self.minute_requests, self.minute_tokens) = (at_ms / MINUTE_MS, 0, 0);
        }
        if at_ms / DAY_MS > self.day {
            (self.day, self.day_tokens) = (at_ms / DAY_MS, 0);
        }
    }

    /// Charges one request.
    pub fn charge(&mut self, at_ms: u64, tokens: u64) {
        self.roll(at_ms);
        self.minute_requests = self.minute_requests.saturating_add(1);
        for used in [&mut self.minute_tokens, &mut self.day_tokens, &mut self.term_tokens] {
            *used = used.saturating_add(tokens);
        }
    }

    /// Puts what was used in the place of what was reserved, in the windows that it was reserved in.
    pub fn settle(&mut self, at_ms: u64, reserved: u64, used: u64) {
        let instead = |tokens: &mut u64| *tokens = tokens.saturating_sub(reserved).saturating_add(used);
        if at_ms / MINUTE_MS == self.minute {
            instead(&mut self.minute_tokens);
        }
        if at_ms / DAY_MS == self.day {
            instead(&mut self.day_tokens);
        }
        instead(&mut self.term_tokens);
    }

    /// When the minute or the day of this account ends, in milliseconds from a moment.
    pub fn window_ends_in(&self, daily: bool, now_ms: u64) -> u64 {
        let (window, length) = if daily { (self.day, DAY_MS) } else { (self.minute, MINUTE_MS) };
        window.saturating_add(1).saturating_mul(length).saturating_sub(now_ms)
    }
}

/// An intent that has no outcome yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenIntent {
    /// When.
    pub at_ms: u64,
    /// What is charged.
    pub accounts: Vec<String>,
    /// How much, on each.
    pub reserved: u64,
}

/// What the rows come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// Intents without an outcome, by their rows.
    pub open: BTreeMap<u64, OpenIntent>,
    /// What has been used.
    pub accounts: BTreeMap<String, Usage>,
}

impl Book {
    /// Takes an intent in.
    pub fn intent(&mut self, row: u64, intent: OpenIntent) {
        for account in &intent.accounts {
            match self.accounts.get_mut(account) {
                Some(usage) => usage.charge(intent.at_ms, intent.reserved),
                None => {
                    self.accounts.entry(account.clone()).or_default().charge(intent.at_ms, intent.reserved)
                }
            }
        }
        self.open.insert(row, intent);
    }

    /// Settles an intent: `used` tokens, or all that was reserved. False when it is not open.
    pub fn settle(&mut self, row: u64, used: Option<u64>) -> bool {
        let Some(intent) = self.open.remove(&row) else { return false };
        if let Some(used) = used {
            for account in &intent.accounts {
                if let Some(usage) = self.accounts.get_mut(account) {
                    usage.settle(intent.at_ms, intent.reserved, used);
                }
            }
        }
        true
    }

    /// Takes a row of the log in.
    ///
    /// # Errors
    /// When the row cannot stand where it does.
    pub fn apply(&mut self, number: u64, begins_segment: bool, row: &Row<'_>) -> Result<(), String> {
        if begins_segment && number > 0 && !matches!(row, Row::Carried(_)) {
            return Err("a segment begins with another row than `carried`".to_owned());
        }
        match row {
            Row::Opened { .. } => Ok(()),
            _ if number == 0 => Err("the first row of the log is not `opened`".to_owned()),
            Row::Carried(_) if !begins_segment => Err("a `carried` row inside a segment".to_owned()),
            Row::Carried(book) if book != self => {
                Err("what is carried over is not what the rows before come to".to_owned())
            }
            Row::Intent(intent) => {
                let accounts = intent.accounts.iter().map(ToString::to_string).collect();
                let open = OpenIntent { at_ms: intent.at_ms, accounts, reserved: intent.reserved };
                self.intent(number, open);
                Ok(())
            }
            Row::Outcome(outcome) => {
                self.settled(outcome.intent, Some(outcome.input.saturating_add(outcome.output)))
            }
            Row::Unsettled { intent, .. } => self.settled(*intent, None),
            _ => Ok(()),
        }
    }

    fn settled(&mut self, intent: u64, used: Option<u64>) -> Result<(), String> {
        if self.settle(intent, used) { Ok(()) } else { Err(format!("row {intent} is no open intent")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(at_ms: u64, reserved: u64) -> OpenIntent {
        OpenIntent { at_ms, accounts: vec!["quota/a".to_owned()], reserved }
    }

    #[test]
    fn an_outcome_replaces_the_reservation_in_its_own_windows_and_an_unsettled_intent_keeps_it() {
        let mut book = Book::default();
        book.intent(1, intent(10, 100));
        book.intent(2, intent(20, 50));
        assert!(book.settle(1, Some(30)) && book.settle(2, None) && !book.settle(2, None));
        let usage = book.accounts["quota/a"];
        assert_eq!(
            (usage.minute_requests, usage.minute_tokens, usage.day_tokens, usage.term_tokens),
            (2, 80, 80, 80)
        );
        book.intent(3, intent(30, 7));
        book.intent(4, intent(MINUTE_MS + 1, 5));
        // The minute of the third has ended: only day and term change.
        assert!(book.settle(3, Some(1)));
        let usage = book.accounts["quota/a"];
        assert_eq!((usage.minute, usage.minute_tokens, usage.day_tokens), (1, 5, 86));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_back() {
        let mut usage = Usage::default();
        usage.charge(DAY_MS * 2, 10);
        usage.charge(5, 10);
        assert_eq!((usage.day, usage.day_tokens, usage.minute_tokens), (2, 20, 20));
        assert_eq!(usage.window_ends_in(true, DAY_MS * 2), DAY_MS);
    }

    #[test]
    fn rows_stand_where_they_can() {
        let mut book = Book::default();
        let opened = Row::Opened { at_ms: 1, program: "p".into(), name: "n".into() };
        assert!(book.apply(0, true, &Row::Carried(Book::default())).is_err());
        book.apply(0, true, &opened).unwrap();
        assert!(book.apply(1, false, &Row::Carried(Book::default())).is_err());
        assert!(book.apply(1, true, &opened).is_err());
        assert!(book.apply(1, false, &Row::Unsettled { intent: 0, at_ms: 1 }).is_err());
        let mut other = Book::default();
        other.intent(5, intent(1, 1));
        assert!(book.apply(1, true, &Row::Carried(other)).unwrap_err().contains("come to"));
    }
}

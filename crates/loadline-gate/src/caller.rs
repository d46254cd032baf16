//! Callers: who comes with a key, and what the key may be used for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use loadline_core::{Digest, Instant};
use loadline_policy::policy::Stage;

use crate::ledger::Limits;

/// The longest key that is hashed, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// Hours of a day in which a key works, in minutes from midnight UTC. The first is in, the last is out; it may pass
/// midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// From.
    pub from_minute: u32,
    /// To.
    pub to_minute: u32,
}

impl Hours {
    /// Whether a moment is inside.
    pub fn holds_at(self, now: Instant) -> bool {
        let minute = u32::try_from(now.seconds() % 86_400 / 60).unwrap_or(u32::MAX);
        if self.from_minute <= self.to_minute {
            (self.from_minute..self.to_minute).contains(&minute)
        } else {
            minute >= self.from_minute || minute < self.to_minute
        }
    }
}

/// One key of one caller. The key itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Names the key in logs and orders; no secret.
    pub key: Arc<str>,
    /// Whose content comes with it: erasing happens by subject.
    pub subject: Arc<str>,
    /// What the caller is, such as `scientist`; the configuration says which stages are open to whom.
    pub role: String,
    /// Only these stages; every stage of the role when empty.
    pub stages: Vec<Stage>,
    /// Only these models, by public name; every model when empty.
    pub models: Vec<String>,
    /// First moment.
    pub not_before: Instant,
    /// Last moment; for ever without one.
    pub expires: Option<Instant>,
    /// Revoked: known, and refused.
    pub revoked: bool,
    /// Only in these hours.
    pub hours: Option<Hours>,
    /// What it draws on; keys may share one.
    pub quota: Arc<str>,
    /// Limits of that quota.
    pub limits: Limits,
}

impl Caller {
    /// A key for everything its role may use, without limits.
    pub fn new(key: &str, subject: &str, role: &str) -> Self {
        Self {
            key: key.into(),
            subject: subject.into(),
            role: role.to_owned(),
            stages: Vec::new(),
            models: Vec::new(),
            not_before: Instant::EPOCH,
            expires: None,
            revoked: false,
            hours: None,
            quota: key.into(),
            limits: Limits::default(),
        }
    }

    /// Whether it may use a model of this name.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|known| known == model)
    }
}

/// A key's SHA-256: by this it is found, so nothing is compared byte by byte with a secret.
pub fn hash(key: &str) -> Digest {
    Digest::of(key.as_bytes())
}

/// Every key, by its SHA-256.
#[derive(Clone, Default)]
pub struct Callers(HashMap<Digest, Arc<Caller>>);

impl Callers {
    /// The caller with this key.
    pub fn find(&self, hash: Digest) -> Option<&Arc<Caller>> {
        self.0.get(&hash)
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them has this id.
    pub fn has_key(&self, id: &str) -> bool {
        self.0.values().any(|caller| &*caller.key == id)
    }

    /// Whose content comes with them.
    pub fn subjects(&self) -> impl Iterator<Item = Arc<str>> {
        self.0.values().map(|caller| Arc::clone(&caller.subject))
    }
}

impl FromIterator<(Digest, Caller)> for Callers {
    fn from_iter<I: IntoIterator<Item = (Digest, Caller)>>(keys: I) -> Self {
        Self(keys.into_iter().map(|(hash, caller)| (hash, Arc::new(caller))).collect())
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callers({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_pass_midnight() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let day = Hours { from_minute: 8 * 60, to_minute: 18 * 60 };
        assert!(day.holds_at(at("2026-11-23T08:00:00Z")) && day.holds_at(at("2026-11-23T17:59:59Z")));
        assert!(!day.holds_at(at("2026-11-23T18:00:00Z")) && !day.holds_at(at("2026-11-23T07:59:59Z")));
        let night = Hours { from_minute: 22 * 60, to_minute: 6 * 60 };
        assert!(night.holds_at(at("2026-11-23T23:00:00Z")) && night.holds_at(at("2026-11-23T05:59:59Z")));
        assert!(!night.holds_at(at("2026-11-23T12:00:00Z")));
    }
}

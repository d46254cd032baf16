//! Keys: a grant is a key in the gate's own file, bound to stages, models, quota and term. There is no second kind.

use loadline_core::{Instant, Secret};
use loadline_gate::keys::{KeyFile, KeyState, KeysError, NewKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Desk;
use crate::book::State;
use crate::refusal::{Code, Refusal};
use crate::rows::Row;

/// A key that was granted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Granted {
    /// The application.
    pub application: String,
    /// The key itself. It is kept nowhere.
    #[serde(serialize_with = "expose", deserialize_with = "mask")]
    pub secret: Secret,
    /// Its id.
    pub key: String,
    /// The last moment it works.
    pub expires: Instant,
}

/// The one place where a key becomes text: the answer to whoever it was granted to.
pub(super) fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// The way back, where the answer arrives.
fn mask<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

impl From<KeysError> for Refusal {
    fn from(error: KeysError) -> Self {
        Self::new(Code::Unavailable, error.to_string()).hint(error.hint())
    }
}

/// The quota of an application, and the subject of its key: the gate knows a person by this and by nothing else.
pub fn quota(application: &str) -> String {
    format!("access/{application}")
}

impl Desk {
    /// Makes the key of an application that has a place. It is durable in the gate's file and in the log before it is
    /// shown. A key that a crash left in the file without having been shown is revoked.
    ///
    /// # Errors
    /// When it has no place, or has its key, or the person holds another.
    pub fn grant(&mut self, id: &str, now: Instant) -> Result<Granted, Refusal> {
        let case = self.case(id)?;
        match self.store.book().state(case, now) {
            State::Admitted => {}
            State::Granted if case.issued.is_some() => {
                return Err(Refusal::moment("a token was issued for it instead of a key"));
            }
            State::Granted => {
                let key = case.grant.as_ref().map_or("ID", |grant| &grant.key);
                let hint = format!(
                    "whoever runs the gate can put another in its place: `loadline gate key rotate KEYS {key}`"
                );
                return Err(Refusal::moment("its key was shown, and is shown once").hint(hint));
            }
            State::Accepted => return Err(Refusal::moment("the places of its round were not given yet")),
            state => return Err(Refusal::moment(format!("it is `{}`", state.word()))),
        }
        let applied = std::sync::Arc::clone(&case.applied);
        self.holds_nothing(&applied.identity, now)?;
        let level = self.programme.level(&applied.level).cloned().ok_or_else(|| {
            Refusal::moment(format!("the programme has no level `{}` any more", applied.level))
        })?;
        let expires = now.plus_days(applied.days.min(level.days));
        let new = NewKey {
            subject: quota(id),
            role: self.programme.role.clone(),
            stages: level.stages,
            models: level.models,
            expires: Some(expires),
            quota: Some(quota(id)),
            limits: level.limits,
        };
        let (secret, key) = self.issue(new, now)?;
        let row = Row::Granted { at: now, application: id.to_owned(), key: key.clone(), expires };
        self.commit(row, now)?;
        Ok(Granted { application: id.to_owned(), secret, key, expires })
    }

    /// One person has one quota at a time.
    pub(super) fn holds_nothing(&self, identity: &str, now: Instant) -> Result<(), Refusal> {
        let cases = self.store.book().cases.values();
        let mut others = cases.filter(|other| other.applied.identity == identity);
        match others.find_map(|other| other.holds_until(now)) {
            None => Ok(()),
            Some(until) => Err(Refusal::moment(format!("you hold a key or a token until {until}"))
                .hint("one person has one quota: claim this one after that")),
        }
    }

    /// Makes a key in the gate's file, and revokes others of the same quota: nobody has been shown them.
    pub(super) fn issue(&self, new: NewKey, now: Instant) -> Result<(Secret, String), Refusal> {
        let (mut file, _lock) = KeyFile::edit(self.store.disk().as_ref(), &self.programme.keys)?;
        let stale = file.keys().iter().filter(|key| new.quota.as_ref() == Some(&key.quota));
        let stale: Vec<_> = stale.filter(|key| key.revoked.is_none()).map(|key| key.id.clone()).collect();
        for id in stale {
            file.revoke(&id, now)?;
        }
        let (secret, key) = file.issue(new, now, self.store.random())?;
        let id = key.id.clone();
        file.write(self.store.disk().as_ref())?;
        Ok((secret, id))
    }

    /// Revokes the key of an application, with those that took its place.
    ///
    /// # Errors
    /// When it has none that works, or the disk refuses.
    pub fn revoke(&mut self, id: &str, now: Instant) -> Result<Vec<String>, Refusal> {
        let case = self.case(id)?;
        if case.issued.is_some() {
            return Err(Refusal::moment("a token was issued for it, and nobody knows which key came of it")
                .hint("its texts can be erased all the same: `loadline access erase`"));
        }
        let grant = case.grant.as_ref().ok_or_else(|| Refusal::moment("it has no key"))?;
        if let Some(at) = grant.revoked {
            return Err(Refusal::moment(format!("its key was revoked at {at}")));
        }
        let (mut file, _lock) = KeyFile::edit(self.store.disk().as_ref(), &self.programme.keys)?;
        let of_quota = file.keys().iter().filter(|key| key.quota == quota(id));
        let keys = of_quota.map(|key| (key.id.clone(), key.state(now) != KeyState::Revoked));
        let keys: Vec<_> = keys.collect();
        for (key, _) in keys.iter().filter(|(_, works)| *works) {
            file.revoke(key, now)?;
        }
        file.write(self.store.disk().as_ref())?;
        self.commit(Row::Revoked { at: now, application: id.to_owned() }, now)?;
        Ok(keys.into_iter().map(|(key, _)| key).collect())
    }
}

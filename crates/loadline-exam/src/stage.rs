//! How far a model is open: a signed transition from one stage to another. `docs/formats/stage.md` is the page of this
//! format.

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_policy::Named as _;
use loadline_policy::decide::places;
use loadline_policy::policy::{ModelStage, Role, SignOffRule, Step, StepError};
use loadline_trust::{Envelope, EnvelopeError, KeyId, Root, SecretKey};
use serde::{Deserialize, Serialize};

use crate::entry::StageEntry;
use crate::signoff::trust_role;

/// `payloadType` of a transition.
pub const TRANSITION_TYPE: &str = "application/vnd.loadline.stage+json";
/// `format` of a transition.
pub const TRANSITION_FORMAT: &str = "loadline-stage/1";
/// The longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 400;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// When it was proposed.
    pub at: Instant,
    /// Payload digest of version 1 of the authority's root.
    pub authority: Digest,
    /// [`TRANSITION_FORMAT`].
    pub format: String,
    /// Where the model stands.
    pub from: ModelStage,
    /// The licence for the stage that it is promoted to; none for a demotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<Digest>,
    /// Which model.
    pub model: Digest,
    /// Payload digest of the model's transition before; none for the first. So it is about one state, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Why, for people.
    pub reason: String,
    /// Where it goes.
    pub to: ModelStage,
}

/// Why a transition does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransitionError {
    /// No envelope of a transition.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Another format.
    #[error("`format` is `{0}`, not `{TRANSITION_FORMAT}`")]
    Format(String),
    /// No such way.
    #[error("{0}")]
    Step(#[from] StepError),
    /// A promotion without a licence, or a demotion with one.
    #[error("a promotion names the licence for its stage, and nothing else does")]
    License,
    /// It does not go on where the step before ended.
    #[error("it goes from `{from}`, and the model stood at `{stood}`")]
    From {
        /// Where it goes from.
        from: ModelStage,
        /// Where the model stood.
        stood: ModelStage,
    },
    /// It is before the step before.
    #[error("it is of {at}, which is earlier than the model's step before, of {before}")]
    Earlier {
        /// When it is.
        at: Instant,
        /// When that was.
        before: Instant,
    },
    /// The reason is too long or more than a line.
    #[error(
        "the reason has {0} bytes, or more than a line; 1 to {MAX_REASON_BYTES} bytes of one line are read"
    )]
    Reason(usize),
    /// Somebody signed who has no say in it.
    #[error("key `{name}` signed and has no say in this: {needed} sign it")]
    NoSay {
        /// The key's name.
        name: String,
        /// Which roles have one.
        needed: String,
    },
    /// Too few signers.
    #[error("{found} of {needed} needed signed as {role}")]
    TooFew {
        /// In which role.
        role: Role,
        /// How many did.
        found: u64,
        /// How many must.
        needed: u64,
    },
}

impl TransitionError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Envelope(error) => error.hint(),
            Self::Format(_) => "this version of loadline reads `loadline-stage/1` only",
            Self::Step(_) | Self::From { .. } | Self::Earlier { .. } => {
                "`loadline stage show` says where the model stands"
            }
            Self::License => "propose it with `loadline stage propose`",
            Self::Reason(_) => "give one line: everybody will read it",
            Self::NoSay { .. } => "have it signed by keys of those roles and no others",
            Self::TooFew { .. } => "have it signed by more people with `loadline stage sign`",
        }
    }
}

impl Transition {
    /// Signs it with one key. Others add their signatures to the envelope.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, key: &SecretKey) -> Result<Envelope, EnvelopeError> {
        Envelope::sign_json(TRANSITION_TYPE, self, &[key])
    }

    /// Reads a transition. Nothing is said about who signed it.
    ///
    /// # Errors
    /// When it is none, or contradicts itself.
    pub fn read(envelope: &Envelope) -> Result<Self, TransitionError> {
        let transition: Self = envelope.json(TRANSITION_TYPE)?;
        transition.check()?;
        Ok(transition)
    }

    /// Whether it can mean something.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<Step, TransitionError> {
        if self.format != TRANSITION_FORMAT {
            return Err(TransitionError::Format(one_line(&self.format, 40)));
        }
        let length = self.reason.len();
        if !(1..=MAX_REASON_BYTES).contains(&length) || self.reason.chars().any(char::is_control) {
            return Err(TransitionError::Reason(length));
        }
        step(self.from, self.to, self.license)
    }

    /// Whether those who signed it are enough: for a promotion as many of each role as the stage's rule asks for (one
    /// `authority` where it asks for nobody), for a demotion any one holder of `authority` or `stop`.
    ///
    /// # Errors
    /// When a signature does not hold, somebody signed who has no say, or they are too few.
    pub fn signed(
        &self,
        envelope: &Envelope,
        root: &Root,
        rules: &[SignOffRule],
    ) -> Result<(), TransitionError> {
        let signers = envelope.signers(root.keys.values())?;
        let alone = [SignOffRule { role: Role::Authority, needed: 1, of: 1 }];
        let (rules, stop_too) = match self.check()? {
            Step::Promotion(_) if !rules.is_empty() => (rules, false),
            Step::Promotion(_) => (&alone[..], false),
            Step::Demotion => (&alone[..], true),
        };
        let holds_stop =
            |id: KeyId| stop_too && root.roles_of(id).any(|role| role == loadline_trust::Role::Stop);
        let mut named = Vec::new();
        for id in &signers {
            let roles = roles(root, *id, rules);
            if roles.is_empty() && !holds_stop(*id) {
                let name = root.keys.get(id).map(|key| key.name()).unwrap_or_default().to_owned();
                let mut needed: Vec<_> = rules.iter().map(|rule| rule.role.name()).collect();
                needed.extend(stop_too.then_some("stop"));
                return Err(TransitionError::NoSay { name, needed: needed.join(", ") });
            }
            named.push((id.to_string(), roles));
        }
        if signers.iter().any(|id| holds_stop(*id)) {
            return Ok(());
        }
        let short = places(rules, &named).into_iter().find(|place| place.found < place.needed);
        match short {
            None => Ok(()),
            Some(place) => {
                let (role, found, needed) = (place.role, place.found, place.needed);
                Err(TransitionError::TooFew { role, found, needed })
            }
        }
    }

    /// What the log says of it.
    pub fn entry(&self, transition: Digest, at: Instant) -> StageEntry {
        StageEntry {
            at,
            from: self.from,
            license: self.license,
            model: self.model,
            reason: self.reason.clone(),
            to: self.to,
            transition,
        }
    }
}

/// A way from one stage to another. A promotion names a licence, and nothing else does.
fn step(from: ModelStage, to: ModelStage, license: Option<Digest>) -> Result<Step, TransitionError> {
    let step = from.step(to)?;
    if matches!(step, Step::Promotion(_)) != license.is_some() {
        return Err(TransitionError::License);
    }
    Ok(step)
}

/// Where a model stands, as the entries of a log say one by one: at `draft` before the first.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    stands: ModelStage,
    since: Option<Instant>,
}

impl Default for Walk {
    fn default() -> Self {
        Self { stands: ModelStage::Draft, since: None }
    }
}

impl Walk {
    /// Goes one step further.
    ///
    /// # Errors
    /// When it does not go on where the one before ended, is before it, or goes no way that there is.
    pub fn go(&mut self, entry: &StageEntry) -> Result<Step, TransitionError> {
        let (from, at) = (entry.from, entry.at);
        if from != self.stands {
            return Err(TransitionError::From { from, stood: self.stands });
        }
        if let Some(before) = self.since.filter(|since| at < *since) {
            return Err(TransitionError::Earlier { at, before });
        }
        let step = step(from, entry.to, entry.license)?;
        *self = Self { stands: entry.to, since: Some(at) };
        Ok(step)
    }
}

/// The roles of a key that these rules ask for.
fn roles(root: &Root, id: KeyId, rules: &[SignOffRule]) -> Vec<Role> {
    let held: Vec<_> = root.roles_of(id).collect();
    rules.iter().map(|rule| rule.role).filter(|role| held.contains(&trust_role(*role))).collect()
}

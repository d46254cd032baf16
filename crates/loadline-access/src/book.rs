//! What the rows of the log come to: a fold over them in their order and nothing else, so that whoever has the rows comes
//! to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use loadline_core::{Digest, Instant};

use crate::request::Verdict;
use crate::rows::{Applied, Row, Sealed};

/// The most applications of a programme.
pub const MAX_APPLICATIONS: usize = 20_000;
/// The most reports about one grant.
pub const MAX_REPORTS: usize = 20;

/// Everything that the log says.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// The programme's name.
    pub programme: String,
    /// Digest of the programme's file that counts now.
    pub digest: Option<Digest>,
    /// All applications, by id.
    pub cases: BTreeMap<String, Case>,
    /// The draws, by round.
    pub draws: BTreeMap<String, Arc<Draw>>,
    /// SHA-256 of the public key of tokens.
    pub token_key: Option<Digest>,
    /// Tokens that were used, by nullifier.
    pub spent: BTreeMap<Digest, Grant>,
    /// Until when the tokens of a round are good, once one was issued. A programme that changes its days later does not
    /// change it: a token would outlive what its holder is known to hold.
    pub token_ends: BTreeMap<String, Instant>,
    /// Who has applied in which round.
    identities: BTreeMap<(String, String), String>,
}

/// One application, and what became of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What was asked for.
    pub applied: Arc<Applied>,
    /// Who reviews it, in the order of assignment; the appeal's seats come after those of the first panel.
    pub seats: Vec<Seat>,
    /// The first decision.
    pub decided: Option<Decision>,
    /// The appeal against it.
    pub appealed: Option<Appeal>,
    /// The decision on the appeal, which is the last word.
    pub decided_on_appeal: Option<Decision>,
    /// When it was taken back.
    pub withdrawn: Option<Instant>,
    /// The key.
    pub grant: Option<Grant>,
    /// The anonymous token that was issued in place of a key.
    pub issued: Option<Issued>,
    /// What was reported.
    pub reports: Vec<Text>,
    /// Whether its texts are gone.
    pub erased: bool,
}

/// A text, and when it came.
#[derive(Clone, Debug)]
pub struct Text {
    /// When.
    pub at: Instant,
    /// The signed request.
    pub content: Arc<Sealed>,
}

/// An appeal.
#[derive(Clone, Debug)]
pub struct Appeal {
    /// The text.
    pub text: Text,
    /// How many seats there were before.
    pub first_seat: usize,
}

/// A reviewer and an application.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The reviewer's name.
    pub reviewer: String,
    /// Since when.
    pub assigned: Instant,
    /// Whether the reviewer stepped back.
    pub recused: bool,
    /// What the reviewer said.
    pub review: Option<(Verdict, Text)>,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Instant,
    /// What.
    pub verdict: Verdict,
}

/// A key for an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// When.
    pub at: Instant,
    /// The key's id.
    pub key: String,
    /// The last moment it works.
    pub expires: Instant,
    /// When it was revoked.
    pub revoked: Option<Instant>,
}

/// An anonymous token that was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// When.
    pub at: Instant,
    /// SHA-256 of what was signed.
    pub request: Digest,
    /// The last moment of what it is good for.
    pub expires: Instant,
}

/// How the places of a round were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// When.
    pub at: Instant,
    /// How many places.
    pub places: u64,
    /// The log's signed checkpoint right before.
    pub checkpoint: String,
    /// The public randomness.
    pub beacon: Option<String>,
    /// All accepted applications, the first drawn first.
    pub order: Vec<String>,
}

/// How an application stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// With the reviewers.
    InReview,
    /// With the reviewers of the appeal.
    InAppeal,
    /// Accepted; a place is drawn after the round.
    Accepted,
    /// Accepted, and has a place.
    Admitted,
    /// Accepted, without a place as long as nobody takes back.
    Waitlisted,
    /// Rejected.
    Rejected,
    /// Has its key.
    Granted,
    /// The key is over: its term ended, or it was revoked.
    Ended,
    /// Taken back.
    Withdrawn,
}

impl State {
    /// As a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::InReview => "in_review",
            Self::InAppeal => "in_appeal",
            Self::Accepted => "accepted",
            Self::Admitted => "admitted",
            Self::Waitlisted => "waitlisted",
            Self::Rejected => "rejected",
            Self::Granted => "granted",
            Self::Ended => "ended",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Case {
    /// The seats of the panel that has the last word now.
    pub fn panel(&self) -> &[Seat] {
        let from = self.appealed.as_ref().map_or(0, |appeal| appeal.first_seat);
        self.seats.get(from..).unwrap_or_default()
    }

    /// The decision that counts now; none while a panel has not come to one.
    pub fn decision(&self) -> Option<Decision> {
        if self.appealed.is_some() { self.decided_on_appeal } else { self.decided }
    }

    /// Whether reviewers are still asked.
    pub fn is_in_review(&self) -> bool {
        self.withdrawn.is_none() && self.decision().is_none()
    }

    /// Until when the person holds something; none when nothing works any more.
    pub fn holds_until(&self, now: Instant) -> Option<Instant> {
        let granted = self.grant.as_ref().filter(|grant| grant.works(now)).map(|grant| grant.expires);
        granted.or_else(|| self.issued.map(|issued| issued.expires).filter(|expires| *expires >= now))
    }

    /// Whether a key or a token was made for it.
    pub fn has_grant(&self) -> bool {
        self.grant.is_some() || self.issued.is_some()
    }

    /// Whether it was accepted and not taken back.
    pub fn is_accepted(&self) -> bool {
        let accepted = self.decision().is_some_and(|decision| decision.verdict == Verdict::Accept);
        accepted && self.withdrawn.is_none()
    }
}

impl Grant {
    /// Whether the key works at a moment.
    pub fn works(&self, now: Instant) -> bool {
        self.revoked.is_none() && now <= self.expires
    }
}

impl Book {
    /// What somebody applied for in a round.
    pub fn of_identity(&self, round: &str, identity: &str) -> Option<&Case> {
        self.cases.get(self.identities.get(&(round.to_owned(), identity.to_owned()))?)
    }

    /// How an application stands at a moment.
    pub fn state(&self, case: &Case, now: Instant) -> State {
        if case.has_grant() {
            return if case.holds_until(now).is_some() { State::Granted } else { State::Ended };
        }
        match case.decision() {
            _ if case.withdrawn.is_some() => State::Withdrawn,
            None if case.appealed.is_some() => State::InAppeal,
            None => State::InReview,
            Some(Decision { verdict: Verdict::Reject, .. }) => State::Rejected,
            Some(_) => match self.draws.get(&case.applied.round) {
                None => State::Accepted,
                Some(draw) if self.has_place(draw, &case.applied.application) => State::Admitted,
                Some(_) => State::Waitlisted,
            },
        }
    }

    /// Whether an application is among the first that were drawn and not taken back.
    fn has_place(&self, draw: &Draw, id: &str) -> bool {
        let stays = |id: &&String| self.cases.get(*id).is_some_and(|case| case.withdrawn.is_none());
        let places = usize::try_from(draw.places).unwrap_or(usize::MAX);
        draw.order.iter().filter(stays).take(places).any(|drawn| drawn == id)
    }

    /// Takes a row in.
    ///
    /// # Errors
    /// In words, when the row cannot stand where it does. The book is not to be used after that.
    pub fn apply(&mut self, row: &Row) -> Result<(), String> {
        if let Row::Founded { digest, programme, .. } = row {
            if self.digest.is_some() {
                return Err("the log begins twice".to_owned());
            }
            (self.digest, self.programme) = (Some(*digest), programme.clone());
            return Ok(());
        }
        if self.digest.is_none() {
            return Err("the first row of the log is not `founded`".to_owned());
        }
        match row {
            Row::Founded { .. } | Row::Recovered { .. } => {}
            Row::Changed { digest, .. } => self.digest = Some(*digest),
            Row::TokenKey { key, .. } => self.token_key = Some(*key),
            Row::Spent { at, nullifier, key, expires, .. } => {
                let grant = Grant { at: *at, key: key.clone(), expires: *expires, revoked: None };
                if self.spent.insert(*nullifier, grant).is_some() {
                    return Err("a token is used twice".to_owned());
                }
            }
            Row::Applied(applied) => self.applied(applied)?,
            Row::Drawn { at, round, places, checkpoint, beacon, order } => {
                let draw = Draw {
                    at: *at,
                    places: *places,
                    checkpoint: checkpoint.clone(),
                    beacon: beacon.clone(),
                    order: order.clone(),
                };
                self.drawn(round, draw)?;
            }
            Row::Assigned { application, .. }
            | Row::Recused { application, .. }
            | Row::Reviewed { application, .. }
            | Row::Decided { application, .. }
            | Row::Appealed { application, .. }
            | Row::Withdrawn { application, .. }
            | Row::Granted { application, .. }
            | Row::Issued { application, .. }
            | Row::Revoked { application, .. }
            | Row::Reported { application, .. }
            | Row::Erased { application, .. } => {
                let case = self.cases.get_mut(application);
                let case = case.ok_or_else(|| format!("there is no application `{application}`"))?;
                case.apply(row)?;
                if let Row::Issued { expires, .. } = row {
                    let end = self.token_ends.entry(case.applied.round.clone()).or_insert(*expires);
                    *end = (*end).min(*expires);
                }
            }
        }
        Ok(())
    }

    fn applied(&mut self, applied: &Applied) -> Result<(), String> {
        let who = (applied.round.clone(), applied.identity.clone());
        if self.cases.contains_key(&applied.application)
            || self.identities.insert(who, applied.application.clone()).is_some()
        {
            return Err("somebody applies twice in a round".to_owned());
        }
        let case = Case {
            applied: Arc::new(applied.clone()),
            seats: Vec::new(),
            decided: None,
            appealed: None,
            decided_on_appeal: None,
            withdrawn: None,
            grant: None,
            issued: None,
            reports: Vec::new(),
            erased: false,
        };
        self.cases.insert(applied.application.clone(), case);
        Ok(())
    }

    fn drawn(&mut self, round: &str, draw: Draw) -> Result<(), String> {
        let drawn: BTreeSet<&String> = draw.order.iter().collect();
        let accepted =
            self.cases.iter().filter(|(_, case)| case.applied.round == round && case.is_accepted());
        if drawn.len() != draw.order.len() || !accepted.map(|(id, _)| id).eq(drawn) {
            return Err("the draw is not over the accepted applications".to_owned());
        }
        match self.draws.insert(round.to_owned(), Arc::new(draw)) {
            None => Ok(()),
            Some(_) => Err("the places of a round are given twice".to_owned()),
        }
    }
}

impl Case {
    fn apply(&mut self, row: &Row) -> Result<(), String> {
        match row {
            Row::Assigned { at, reviewer, .. } => {
                if !self.is_in_review() || self.seats.iter().any(|seat| seat.reviewer == *reviewer) {
                    return Err(format!("`{reviewer}` is assigned where nobody can be, or twice"));
                }
                let reviewer = reviewer.clone();
                self.seats.push(Seat { reviewer, assigned: *at, recused: false, review: None });
            }
            Row::Recused { reviewer, .. } => self.open_seat(reviewer)?.recused = true,
            Row::Reviewed { at, reviewer, verdict, content, .. } => {
                let text = Text { at: *at, content: Arc::new(content.clone()) };
                self.open_seat(reviewer)?.review = Some((*verdict, text));
            }
            Row::Decided { at, verdict, .. } => self.decide(Decision { at: *at, verdict: *verdict })?,
            Row::Appealed { at, content, .. } => {
                let rejected = self.decided.is_some_and(|decision| decision.verdict == Verdict::Reject);
                if !rejected || self.appealed.is_some() || self.withdrawn.is_some() {
                    return Err("an appeal where there can be none".to_owned());
                }
                let text = Text { at: *at, content: Arc::new(content.clone()) };
                self.appealed = Some(Appeal { text, first_seat: self.seats.len() });
            }
            Row::Withdrawn { at, .. } => {
                if self.withdrawn.is_some() || self.has_grant() {
                    return Err("taken back where it cannot be".to_owned());
                }
                self.withdrawn = Some(*at);
            }
            Row::Granted { at, key, expires, .. } => {
                if !self.is_accepted() || self.has_grant() {
                    return Err("a key for an application that cannot have one".to_owned());
                }
                self.grant = Some(Grant { at: *at, key: key.clone(), expires: *expires, revoked: None });
            }
            Row::Issued { at, request, expires, .. } => {
                if !self.is_accepted() || self.has_grant() || !self.applied.basis.is_verified() {
                    return Err("a token for an application that cannot have one".to_owned());
                }
                self.issued = Some(Issued { at: *at, request: *request, expires: *expires });
            }
            Row::Revoked { at, .. } => {
                let grant = self.grant.as_mut().filter(|grant| grant.revoked.is_none());
                grant.ok_or("no key to revoke")?.revoked = Some(*at);
            }
            Row::Reported { at, content, .. } => {
                if !self.has_grant() || self.reports.len() >= MAX_REPORTS {
                    return Err("a report about nothing, or one too many".to_owned());
                }
                self.reports.push(Text { at: *at, content: Arc::new(content.clone()) });
            }
            Row::Erased { at, .. } => {
                self.erased = true;
                // Without its texts nobody can review it, and nobody can claim for it.
                if !self.has_grant() {
                    self.withdrawn.get_or_insert(*at);
                }
            }
            _ => return Err("a row of no application".to_owned()),
        }
        Ok(())
    }

    fn open_seat(&mut self, reviewer: &str) -> Result<&mut Seat, String> {
        let open = self.is_in_review();
        let from = self.appealed.as_ref().map_or(0, |appeal| appeal.first_seat);
        let mut seats = self.seats.iter_mut().skip(from);
        seats
            .find(|seat| open && seat.reviewer == reviewer && !seat.recused && seat.review.is_none())
            .ok_or_else(|| format!("`{reviewer}` is not asked for a review"))
    }

    fn decide(&mut self, decision: Decision) -> Result<(), String> {
        if !self.is_in_review() {
            return Err("decided where nothing is to be decided".to_owned());
        }
        let agreed = self.panel().iter().filter_map(|seat| seat.review.as_ref());
        if !agreed.into_iter().any(|(verdict, _)| *verdict == decision.verdict) {
            return Err("a decision that no reviewer came to".to_owned());
        }
        match self.appealed {
            None => self.decided = Some(decision),
            Some(_) => self.decided_on_appeal = Some(decision),
        }
        Ok(())
    }
}

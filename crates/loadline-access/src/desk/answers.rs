//! What the desk answers.

use loadline_core::Instant;
use serde::Serialize;

use super::{Desk, Granted, TokenAnswer};
use crate::book::{Case, State};
use crate::figures::is_overdue;
use crate::refusal::Refusal;
use crate::request::{Act, REQUEST_TYPE, Request, Verdict};
use crate::rows::Basis;

/// What the desk answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// How an application stands.
    Status(Box<Status>),
    /// What waits for a reviewer.
    Queue(Queue),
    /// A key, shown once.
    Key(Box<Granted>),
    /// What an anonymous token is made from.
    Token(TokenAnswer),
}

/// How an application stands: for whoever sent it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Its id.
    pub application: String,
    /// The round.
    pub round: String,
    /// What was asked for.
    pub level: String,
    /// For how many days.
    pub days: u64,
    /// When.
    pub applied: Instant,
    /// On what the identity rests.
    pub basis: Basis,
    /// How it stands.
    pub state: State,
    /// Whether a review is overdue.
    pub overdue: bool,
    /// When it was decided, the last time.
    pub decided: Option<Instant>,
    /// The reasons of the reviewers who agreed with the decision, without their names.
    pub reasons: Vec<String>,
    /// Until when a rejection can be appealed against.
    pub appeal_until: Option<Instant>,
    /// The key's id, when there is one.
    pub key: Option<String>,
    /// The last moment it works.
    pub expires: Option<Instant>,
}

/// What waits for a reviewer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Queue {
    /// The reviewer.
    pub reviewer: String,
    /// Applications, the one that waits longest first.
    pub waiting: Vec<Waiting>,
}

/// An application that waits for a reviewer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waiting {
    /// Its id.
    pub application: String,
    /// The round.
    pub round: String,
    /// On what the identity rests.
    pub basis: Basis,
    /// Until when the review is expected.
    pub due: Instant,
    /// Whether that is over.
    pub overdue: bool,
    /// Who applies.
    pub name: String,
    /// The domain of the institution.
    pub affiliation: String,
    /// What for.
    pub purpose: String,
    /// The reference of an ethics board, or why there is none.
    pub ethics: String,
    /// Which level of access.
    pub level: String,
    /// For how many days.
    pub days: u64,
    /// The appeal, where this is one.
    pub appeal: Option<String>,
}

impl Desk {
    /// How an application stands.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn status(&self, id: &str, now: Instant) -> Result<Status, Refusal> {
        let case = self.case(id)?;
        let state = self.store.book().state(case, now);
        let decision = case.decision();
        let appealable = decision.filter(|_| state == State::Rejected && case.appealed.is_none());
        Ok(Status {
            application: id.to_owned(),
            round: case.applied.round.clone(),
            level: case.applied.level.clone(),
            days: case.applied.days,
            applied: case.applied.at,
            basis: case.applied.basis,
            state,
            overdue: is_overdue(case, &self.programme, now),
            decided: decision.map(|decision| decision.at),
            reasons: decision.map(|decision| self.reasons(id, case, decision.verdict)).unwrap_or_default(),
            appeal_until: appealable.map(|decision| decision.at.plus_days(self.programme.appeal_days)),
            key: case.grant.as_ref().map(|grant| grant.key.clone()),
            expires: case
                .grant
                .as_ref()
                .map(|grant| grant.expires)
                .or(case.issued.map(|issued| issued.expires)),
        })
    }

    fn reasons(&self, id: &str, case: &Case, decided: Verdict) -> Vec<String> {
        let reason = |seat: &crate::book::Seat| {
            let (verdict, text) = seat.review.as_ref()?;
            let signed = self.signed(id, &format!("review/{}", seat.reviewer), &text.content)?;
            match signed.json::<Request>(REQUEST_TYPE).ok()?.act {
                Act::Review { reason, .. } if *verdict == decided => Some(reason),
                _ => None,
            }
        };
        case.panel().iter().filter_map(reason).collect()
    }

    /// What waits for a reviewer.
    pub fn queue(&self, reviewer: &str, now: Instant) -> Queue {
        let cases = self.store.book().cases.iter().filter(|(_, case)| case.is_in_review());
        let waiting = cases.filter_map(|(id, case)| self.waiting(id, case, reviewer, now));
        let mut waiting: Vec<Waiting> = waiting.collect();
        waiting.sort_by_key(|waiting| waiting.due);
        Queue { reviewer: reviewer.to_owned(), waiting }
    }

    fn waiting(&self, id: &str, case: &Case, reviewer: &str, now: Instant) -> Option<Waiting> {
        let mut seats = case.panel().iter();
        let seat = seats.find(|seat| seat.reviewer == reviewer && !seat.recused && seat.review.is_none())?;
        let due = seat.assigned.plus_days(self.programme.review_days);
        let application = self.application(id)?;
        let appeal = case.appealed.as_ref().and_then(|appeal| {
            let signed = self.signed(id, "appeal", &appeal.text.content)?;
            match signed.json::<Request>(REQUEST_TYPE).ok()?.act {
                Act::Appeal(text) => Some(text),
                _ => None,
            }
        });
        Some(Waiting {
            application: id.to_owned(),
            round: case.applied.round.clone(),
            basis: case.applied.basis,
            due,
            overdue: due < now,
            name: application.name,
            affiliation: application.affiliation,
            purpose: application.purpose,
            ethics: application.ethics,
            level: application.level,
            days: application.days,
            appeal,
        })
    }
}

//! The desk of a programme: takes what people signed, decides what may be done, and has it durable before it answers.

mod answers;
mod grants;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::Instant;
use loadline_evidence::disk::Disk;
use loadline_evidence::endless::Cut;
use loadline_gate::audit::Random;
use loadline_trust::{Envelope, PublicKey};

use crate::book::{Case, MAX_APPLICATIONS, MAX_REPORTS, Text};
use crate::figures::Figures;
use crate::identity::IssuerKeys;
use crate::lottery::{self, Lottery, MAX_BEACON_CHARS};
use crate::panel;
use crate::programme::{KeyIdentity, Programme, Reviewer, related};
use crate::refusal::{Code, Refusal};
use crate::request::{APPLICATION_TYPE, Act, Application, MAX_REQUEST_BYTES, REQUEST_TYPE, Request, Verdict};
use crate::rows::{Applied, Basis, Row, Sealed};
use crate::store::{Store, StoreError};
use crate::token::IssuerKey;

pub use answers::{Queue, Reply, Status, Waiting};
pub use grants::{Granted, quota};
pub use tokens::{Redeemed, TokenAnswer, token_quota};

/// A programme that is open for business.
pub struct Desk {
    programme: Programme,
    store: Store,
    issuers: IssuerKeys,
    tokens: Option<IssuerKey>,
}

/// Who applies: on what that rests, and what the digest is over.
struct Who {
    basis: Basis,
    identity: String,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(Code::Unavailable, error.to_string()).hint(error.hint())
    }
}

impl Desk {
    /// Begins a programme in its folder.
    ///
    /// # Errors
    /// When there is one, or the disk refuses.
    pub fn found(
        disk: Arc<dyn Disk>,
        programme: Programme,
        now: Instant,
        random: Random,
    ) -> Result<Self, StoreError> {
        let (dir, name) = (programme.state.clone(), programme.name.clone());
        let store = Store::found(disk, &dir, &name, programme.digest, now, random)?;
        let mut desk = Self { programme, store, issuers: IssuerKeys::default(), tokens: None };
        desk.open_tokens(now)?;
        Ok(desk)
    }

    /// Opens a programme, and does what was left to do.
    ///
    /// # Errors
    /// When there is none, it has changed, another process has it, or the disk refuses.
    pub fn open(
        disk: Arc<dyn Disk>,
        programme: Programme,
        now: Instant,
        random: Random,
    ) -> Result<(Self, Option<Cut>), StoreError> {
        let (dir, name) = (programme.state.clone(), programme.name.clone());
        let (store, cut) = Store::open(disk, &dir, &name, now, random)?;
        let mut desk = Self { programme, store, issuers: IssuerKeys::default(), tokens: None };
        desk.open_tokens(now)?;
        if desk.store.book().digest != Some(desk.programme.digest) {
            desk.store.add(&[Row::Changed { at: now, digest: desk.programme.digest }])?;
        }
        desk.settle(now)?;
        Ok((desk, cut))
    }

    /// The rules.
    pub fn programme(&self) -> &Programme {
        &self.programme
    }

    /// What the log comes to.
    pub fn book(&self) -> &crate::book::Book {
        self.store.book()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.programme.state
    }

    /// The gate's audit log, and the disk that it is read from.
    ///
    /// # Errors
    /// When the programme's file does not say where it is.
    pub(crate) fn audit(&self) -> Result<(Arc<dyn Disk>, PathBuf), Refusal> {
        let audit = self.programme.audit.clone().ok_or_else(|| {
            Refusal::new(Code::Unknown, "the programme does not say where the gate's audit log is").hint(
                "add `audit = \"FOLDER\"` to its file and serve it again, or give the file and `--audit FOLDER`",
            )
        })?;
        Ok((Arc::clone(self.store.disk()), audit))
    }

    /// Takes the keys of an issuer of ID tokens in.
    ///
    /// # Errors
    /// In words, when they are no set of keys (JWKS).
    pub fn learn(&mut self, issuer: &str, jwks: &[u8]) -> Result<(), String> {
        self.issuers.learn(issuer, jwks)
    }

    /// The figures.
    pub fn figures(&self, now: Instant) -> Figures {
        Figures::of(self.store.book(), &self.programme, now)
    }

    /// Takes one signed request.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn take(&mut self, bytes: &[u8], now: Instant) -> Result<Reply, Refusal> {
        if bytes.len() > MAX_REQUEST_BYTES {
            let message =
                format!("the request has {} bytes; at most {MAX_REQUEST_BYTES} are read", bytes.len());
            return Err(Refusal::new(Code::BadRequest, message).hint("write less"));
        }
        let envelope = Envelope::parse(bytes).map_err(|error| Refusal::envelope(&error))?;
        if envelope.payload_type() == APPLICATION_TYPE {
            return self.apply(&envelope, now);
        }
        let request: Request = envelope.json(REQUEST_TYPE).map_err(|error| Refusal::envelope(&error))?;
        request.check(&self.programme, now)?;
        match &request.act {
            Act::Queue | Act::Recuse(_) | Act::Review { .. } => self.reviewer_asks(&envelope, &request, now),
            _ => self.applicant_asks(&envelope, &request, now),
        }
    }

    fn apply(&mut self, envelope: &Envelope, now: Instant) -> Result<Reply, Refusal> {
        let application = Application::read(envelope)?;
        application.check(&self.programme, now)?;
        let round = self.programme.open_round(now).ok_or_else(|| self.no_round(now))?.name.clone();
        let who = self.who(&application, now)?;
        if let Some(case) = self.store.book().of_identity(&round, &who.identity) {
            // Who sends the same again has not got the answer.
            let id = case.applied.application.clone();
            let same = self.signed(&id, "application", &case.applied.content);
            return match same.is_some_and(|kept| kept == *envelope) {
                true => Ok(Reply::Status(Box::new(self.status(&id, now)?))),
                false => Err(Refusal::new(Code::AlreadyApplied, "this identity has applied in this round")
                    .hint("one application for each person and round; `loadline access status` shows how it stands")),
            };
        }
        if self.store.book().cases.len() >= MAX_APPLICATIONS {
            let message = format!("the programme has {MAX_APPLICATIONS} applications and takes no more");
            return Err(Refusal::new(Code::Full, message).hint("ask whoever runs the programme"));
        }
        let subject = self.store.subject(&format!("{round}/{}", who.identity))?;
        let id = subject.pseudonym.to_string();
        let row = Row::Applied(Box::new(Applied {
            at: now,
            application: id.clone(),
            round,
            level: application.level.clone(),
            days: application.days,
            identity: who.identity,
            basis: who.basis,
            conflicts: self.conflicts(&application),
            content: self.store.seal(&subject, "application", &envelope.to_bytes())?,
        }));
        self.commit(row, now)?;
        Ok(Reply::Status(Box::new(self.status(&id, now)?)))
    }

    fn no_round(&self, now: Instant) -> Refusal {
        let next = self.programme.rounds.iter().find(|round| round.opens > now);
        let hint = next.map_or("there is no later round yet".to_owned(), |round| {
            format!("round `{}` opens at {}", round.name, round.opens)
        });
        Refusal::new(Code::RoundClosed, "no round takes applications now").hint(hint)
    }

    fn who(&self, application: &Application, now: Instant) -> Result<Who, Refusal> {
        let key = application.key.id();
        if let Some(token) = &application.id_token {
            if self.programme.issuers.is_empty() {
                return Err(Refusal::new(
                    Code::IdentityRefused,
                    "this programme trusts no issuer of ID tokens",
                )
                .hint("apply without one"));
            }
            let (issuers, nonce) = (&self.programme.issuers, key.to_string());
            let who = self.issuers.check(token, issuers, &nonce, &application.affiliation, now)?;
            let identity = self.store.identity(&["issuer", &who.issuer, &who.subject]);
            return Ok(Who { basis: who.basis, identity });
        }
        let listed = self.programme.listed.iter().any(|listed| listed.id() == key);
        let basis = match self.programme.identity {
            KeyIdentity::Any if !listed => Basis::Key,
            KeyIdentity::Any | KeyIdentity::Listed if listed => Basis::ListedKey,
            _ => {
                return Err(Refusal::new(Code::IdentityRefused, "this key alone is no identity here")
                    .hint("the programme's page says whose word counts"));
            }
        };
        Ok(Who { basis, identity: self.store.identity(&["key", &key.to_string()]) })
    }

    /// Reviewers of the same institution, those who said so before, and the applicant's own key.
    fn conflicts(&self, application: &Application) -> Vec<String> {
        let conflicted = |reviewer: &&Reviewer| {
            let mut domains = reviewer.conflicts.iter().chain([&reviewer.affiliation]);
            reviewer.key.id() == application.key.id()
                || domains.any(|domain| related(domain, &application.affiliation))
        };
        self.programme
            .reviewers
            .iter()
            .filter(conflicted)
            .map(|reviewer| reviewer.name().to_owned())
            .collect()
    }

    fn applicant_asks(
        &mut self,
        envelope: &Envelope,
        request: &Request,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let id = request.application.clone().ok_or_else(Refusal::unknown)?;
        let key = self.applicant_key(&id).ok_or_else(Refusal::unknown)?;
        if !envelope.claimed().eq([key.id()]) {
            return Err(Refusal::unknown());
        }
        envelope.signers([&key]).map_err(|error| Refusal::envelope(&error))?;
        let row = match &request.act {
            Act::Status => return Ok(Reply::Status(Box::new(self.status(&id, now)?))),
            Act::Claim => return Ok(Reply::Key(Box::new(self.grant(&id, now)?))),
            Act::Token(asked) => return Ok(Reply::Token(self.issue_token(&id, asked, now)?)),
            Act::Withdraw => self.withdraw(&id, now)?,
            Act::Appeal(_) => self.appeal(&id, envelope, now)?,
            Act::Report(_) => self.report(&id, envelope, now)?,
            Act::Queue | Act::Recuse(_) | Act::Review { .. } => return Err(Refusal::unknown()),
        };
        self.commit(row, now)?;
        Ok(Reply::Status(Box::new(self.status(&id, now)?)))
    }

    fn withdraw(&self, id: &str, at: Instant) -> Result<Row, Refusal> {
        let case = self.case(id)?;
        if case.withdrawn.is_some() || case.has_grant() {
            return Err(Refusal::moment("it was taken back already, or has its key"));
        }
        Ok(Row::Withdrawn { at, application: id.to_owned() })
    }

    fn appeal(&self, id: &str, envelope: &Envelope, at: Instant) -> Result<Row, Refusal> {
        let case = self.case(id)?;
        let rejected = case.decided.filter(|decision| decision.verdict == Verdict::Reject);
        let Some(decision) = rejected.filter(|_| case.appealed.is_none() && case.withdrawn.is_none()) else {
            return Err(Refusal::moment("only a rejection can be appealed against, and once"));
        };
        if decision.at.plus_days(self.programme.appeal_days) < at {
            let message = format!("the {} days for an appeal are over", self.programme.appeal_days);
            return Err(Refusal::moment(message));
        }
        Ok(Row::Appealed { at, application: id.to_owned(), content: self.seal(id, "appeal", envelope)? })
    }

    fn report(&self, id: &str, envelope: &Envelope, at: Instant) -> Result<Row, Refusal> {
        let case = self.case(id)?;
        if !case.has_grant() || case.reports.len() >= MAX_REPORTS {
            let message = format!("reports are about what a key was used for, and at most {MAX_REPORTS}");
            return Err(Refusal::moment(message));
        }
        // Everything else can be done once; a report that somebody listened to could come again as another.
        let mut reports = case.reports.iter().enumerate();
        let same = |(number, report): (usize, &Text)| {
            self.signed(id, &format!("report/{number}"), &report.content)
                .is_some_and(|kept| kept.payload_digest() == envelope.payload_digest())
        };
        if reports.any(same) {
            return Err(Refusal::moment("this report was taken already"));
        }
        let what = format!("report/{}", case.reports.len());
        Ok(Row::Reported { at, application: id.to_owned(), content: self.seal(id, &what, envelope)? })
    }

    fn reviewer_asks(
        &mut self,
        envelope: &Envelope,
        request: &Request,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let claimed: Vec<_> = envelope.claimed().collect();
        let reviewer = self.programme.reviewers.iter().find(|reviewer| claimed == [reviewer.key.id()]);
        let reviewer = reviewer.ok_or_else(|| {
            Refusal::new(Code::NotSigned, "this is not signed by one reviewer of the programme")
                .hint("sign with the key that the programme names for you")
        })?;
        envelope.signers([&reviewer.key]).map_err(|error| Refusal::envelope(&error))?;
        let reviewer = reviewer.name().to_owned();
        if request.act != Act::Queue {
            let id = request.application.as_deref().ok_or_else(Refusal::unknown)?;
            let row = self.seat(id, &reviewer, &request.act, envelope, now)?;
            self.commit(row, now)?;
        }
        Ok(Reply::Queue(self.queue(&reviewer, now)))
    }

    fn seat(
        &self,
        id: &str,
        name: &str,
        act: &Act,
        envelope: &Envelope,
        at: Instant,
    ) -> Result<Row, Refusal> {
        let case = self.case(id)?;
        let asked =
            case.panel().iter().any(|seat| seat.reviewer == name && !seat.recused && seat.review.is_none());
        if !asked || !case.is_in_review() {
            return Err(Refusal::moment("you are not asked for a review of this application")
                .hint("`loadline access queue` shows what waits for you"));
        }
        let (application, reviewer) = (id.to_owned(), name.to_owned());
        match act {
            Act::Review { verdict, .. } => {
                let content = self.seal(id, &format!("review/{name}"), envelope)?;
                Ok(Row::Reviewed { at, application, reviewer, verdict: *verdict, content })
            }
            _ => {
                let content = self.seal(id, &format!("recusal/{name}"), envelope)?;
                Ok(Row::Recused { at, application, reviewer, content })
            }
        }
    }

    /// Draws the places of a round that is over.
    ///
    /// # Errors
    /// When it is not over, something in it is undecided or can still be appealed against, or it was drawn.
    pub fn draw(&mut self, round: &str, beacon: Option<&str>, now: Instant) -> Result<Lottery, Refusal> {
        let places = self.may_draw(round, now)?;
        self.check_beacon(beacon)?;
        let cases = self.store.book().cases.iter();
        let accepted = cases.filter(|(_, case)| case.applied.round == round && case.is_accepted());
        let accepted = accepted.map(|(id, _)| id.clone()).collect();
        let note = self.store.checkpoint()?;
        let checkpoint = lottery::checkpoint(&note).map_err(StoreError::Contradiction)?;
        let order = lottery::draw(&self.programme.name, round, &checkpoint, beacon, accepted);
        let (round, beacon) = (round.to_owned(), beacon.map(str::to_owned));
        let row = Row::Drawn { at: now, round: round.clone(), places, checkpoint: note, beacon, order };
        self.commit(row, now)?;
        self.lottery(&round)
    }

    fn may_draw(&self, name: &str, now: Instant) -> Result<u64, Refusal> {
        let round = self.programme.round(name).ok_or_else(|| {
            let names: Vec<_> = self.programme.rounds.iter().map(|round| round.name.as_str()).collect();
            Refusal::new(Code::Unknown, "there is no such round").hint(format!("one of {}", names.join(", ")))
        })?;
        if self.store.book().draws.contains_key(name) {
            return Err(Refusal::new(Code::WrongMoment, "the places of this round were given")
                .hint("`loadline access lottery show` shows how"));
        }
        if now <= round.closes {
            return Err(Refusal::new(Code::WrongMoment, format!("the round closes at {}", round.closes))
                .hint("draw after that"));
        }
        let cases = self.store.book().cases.values().filter(|case| case.applied.round == name);
        let (mut open, mut until) = (0, None);
        for case in cases {
            open += usize::from(case.is_in_review());
            if let (Some(decision), None, None) = (case.decided, &case.appealed, case.withdrawn)
                && decision.verdict == Verdict::Reject
            {
                until = until.max(Some(decision.at.plus_days(self.programme.appeal_days)));
            }
        }
        if open > 0 {
            return Err(Refusal::new(
                Code::WrongMoment,
                format!("{open} applications of it are not decided"),
            )
            .hint("`loadline access figures` shows what is overdue"));
        }
        if let Some(until) = until.filter(|until| *until >= now) {
            return Err(Refusal::new(
                Code::WrongMoment,
                format!("a rejection can be appealed against until {until}"),
            )
            .hint("draw after that"));
        }
        Ok(round.places as u64)
    }

    fn check_beacon(&self, beacon: Option<&str>) -> Result<(), Refusal> {
        let wrong = |message: &str, hint: &str| Err(Refusal::new(Code::BadRequest, message).hint(hint));
        match (&self.programme.beacon, beacon) {
            (Some(announced), None) => {
                wrong("the programme announced a public randomness, and its value is missing", announced)
            }
            (None, Some(_)) => wrong(
                "the programme announced no public randomness",
                "leave it out: it was not promised before",
            ),
            (_, Some(value)) if value.is_empty() || value.len() > MAX_BEACON_CHARS || !value.is_ascii() => {
                wrong(
                    "this is no value of a public randomness",
                    "give it as the beacon publishes it, such as 64 hexadecimal digits",
                )
            }
            _ => Ok(()),
        }
    }

    /// A draw, as it is published.
    ///
    /// # Errors
    /// When there was none.
    pub fn lottery(&self, round: &str) -> Result<Lottery, Refusal> {
        let draw = self.store.book().draws.get(round).ok_or_else(|| {
            Refusal::new(Code::Unknown, "the places of this round were not given yet")
                .hint("they are when it is over, and every application in it is decided")
        })?;
        Ok(Lottery::of(&self.programme.name, round, self.programme.beacon.as_deref(), draw))
    }

    /// Erases the texts of an application. Its decisions and counts stay. Without a key it counts as taken back. A token
    /// that was issued for it stays good: nobody knows which it is, and nobody needs the texts for it.
    ///
    /// # Errors
    /// When there is no such application, its key still works, or the disk refuses.
    pub fn erase(&mut self, id: &str, now: Instant) -> Result<(), Refusal> {
        if self.case(id)?.grant.as_ref().is_some_and(|grant| grant.works(now)) {
            return Err(
                Refusal::moment("its key still works").hint("revoke it first: `loadline access revoke`")
            );
        }
        Ok(self.store.erase(id, now)?)
    }

    /// Writes a row, and what follows from it.
    fn commit(&mut self, row: Row, now: Instant) -> Result<(), Refusal> {
        self.store.add(&[row])?;
        Ok(self.settle(now)?)
    }

    /// Writes what follows from the book, until nothing does. What a crash left out is written at the next start.
    fn settle(&mut self, now: Instant) -> Result<(), StoreError> {
        loop {
            let rows = panel::consequences(self.store.book(), &self.programme, now);
            if rows.is_empty() {
                return Ok(());
            }
            self.store.add(&rows)?;
        }
    }

    fn case(&self, id: &str) -> Result<&Case, Refusal> {
        self.store.book().cases.get(id).ok_or_else(Refusal::no_application)
    }

    fn seal(&self, id: &str, what: &str, envelope: &Envelope) -> Result<Sealed, Refusal> {
        let subject = self.store.subject_of(id).ok_or_else(|| Refusal::moment("its texts were erased"))?;
        Ok(self.store.seal(&subject, what, &envelope.to_bytes())?)
    }

    /// What was signed, where its key was not erased.
    fn signed(&self, id: &str, what: &str, content: &Sealed) -> Option<Envelope> {
        Envelope::parse(&self.store.open_text(id, what, content)?).ok()
    }

    fn application(&self, id: &str) -> Option<Application> {
        let case = self.store.book().cases.get(id)?;
        self.signed(id, "application", &case.applied.content)?.json(APPLICATION_TYPE).ok()
    }

    fn applicant_key(&self, id: &str) -> Option<PublicKey> {
        Some(self.application(id)?.key)
    }
}

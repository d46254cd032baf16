//! Anonymous tokens: issued once for an application whose identity somebody vouched for, used once for a key. The two ends
//! do not know of each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loadline_core::{Digest, Instant, Secret};
use loadline_gate::keys::NewKey;
use serde::Serialize;
use zeroize::Zeroizing;

use super::grants::expose;
use super::{Desk, Refusal};
use crate::book::State;
use crate::programme::Level;
use crate::refusal::Code;
use crate::rows::Row;
use crate::store::{StoreError, TOKEN_KEY};
use crate::token::{self, IssuerKey, Token, TokenError, TokenKey};

/// What an anonymous token is made from, by whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenAnswer {
    /// The application.
    pub application: String,
    /// The blind signature (RFC 9578, section 6.2), as base64.
    pub answer: String,
    /// The last moment of what any token of the round is good for.
    pub expires: Instant,
}

/// A key for a token.
#[derive(Debug, Serialize)]
pub struct Redeemed {
    /// The key itself. It is kept nowhere.
    #[serde(serialize_with = "expose")]
    pub secret: Secret,
    /// Its id.
    pub key: String,
    /// The last moment it works.
    pub expires: Instant,
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Damaged => Self::new(Code::Unavailable, error.to_string()).hint(
                "restore `token.key` from a copy: tokens that were issued are worth nothing without it",
            ),
            _ => Self::new(Code::BadRequest, error.to_string())
                .hint("ask for a token with `loadline access token`"),
        }
    }
}

/// The quota of a token, and the subject of its key.
pub fn token_quota(nullifier: &Digest) -> String {
    format!("token/{}", nullifier.hex())
}

impl Desk {
    /// Reads the key of tokens, or makes it: once for a programme, since tokens of another key are worth nothing.
    pub(super) fn open_tokens(&mut self, at: Instant) -> Result<(), StoreError> {
        if self.programme.tokens.is_none() {
            return Ok(());
        }
        let damaged = |error: TokenError| StoreError::TokenKey(error.to_string());
        let key = match (self.store.read_token_key()?, self.store.book().token_key) {
            (Some(der), _) => IssuerKey::from_der(&der).map_err(damaged)?,
            (None, Some(_)) => return Err(StoreError::TokenKey(format!("`{TOKEN_KEY}` is gone"))),
            (None, None) => {
                let mut seed = Zeroizing::new([0; 32]);
                (self.store.random())(&mut *seed).map_err(StoreError::Random)?;
                let key = IssuerKey::generate(&seed).map_err(damaged)?;
                self.store.write_token_key(&key.expose_der().map_err(damaged)?)?;
                key
            }
        };
        let id = key.public().map_err(damaged)?.id();
        match self.store.book().token_key {
            None => self.store.add(&[Row::TokenKey { at, key: id }])?,
            Some(known) if known == id => {}
            Some(_) => {
                return Err(StoreError::TokenKey(format!("`{TOKEN_KEY}` is another key than the log says")));
            }
        }
        self.tokens = Some(key);
        Ok(())
    }

    /// The public key of tokens.
    ///
    /// # Errors
    /// When the programme has no tokens.
    pub fn token_key(&self) -> Result<TokenKey, Refusal> {
        Ok(self.with_tokens()?.1.public()?)
    }

    fn with_tokens(&self) -> Result<(&Level, &IssuerKey), Refusal> {
        self.programme.tokens.as_ref().zip(self.tokens.as_ref()).ok_or_else(|| {
            Refusal::new(Code::Unknown, "this programme has no anonymous tokens").hint("claim a key instead")
        })
    }

    /// Issues the token of an application that has a place, once: the same request gets the same answer, another none.
    pub(super) fn issue_token(
        &mut self,
        id: &str,
        asked: &str,
        now: Instant,
    ) -> Result<TokenAnswer, Refusal> {
        let (level, key) = self.with_tokens()?;
        let asked = STANDARD.decode(asked).map_err(|_| TokenError::Form)?;
        let request = Digest::of(&asked);
        let answer = STANDARD.encode(key.answer(&asked)?);
        let case = self.case(id)?;
        let application = id.to_owned();
        if let Some(issued) = case.issued {
            return match issued.request == request {
                true => Ok(TokenAnswer { application, answer, expires: issued.expires }),
                false => Err(Refusal::moment("its token was issued, and is issued once")
                    .hint("the same request gets the same answer: `loadline access token` with the same output file")),
            };
        }
        if self.store.book().state(case, now) != State::Admitted {
            return Err(Refusal::moment(format!("it is `{}`", self.store.book().state(case, now).word())));
        }
        if !case.applied.basis.is_verified() {
            return Err(Refusal::new(Code::IdentityRefused, "nobody vouched for this identity")
                .hint("one person would get several tokens; claim a key instead"));
        }
        self.holds_nothing(&case.applied.identity, now)?;
        let expires = self.tokens_end(&case.applied.round, level).unwrap_or(now);
        if expires < now {
            return Err(Refusal::moment(format!("tokens of this round were good until {expires}")));
        }
        let row = Row::Issued { at: now, application: application.clone(), request, expires };
        self.commit(row, now)?;
        Ok(TokenAnswer { application, answer, expires })
    }

    /// Until when tokens of a round are good; none before its draw. The same for all of a round: when a token was issued
    /// shows nowhere. Once one was issued the log says it, whatever the programme says later.
    fn tokens_end(&self, round: &str, level: &Level) -> Option<Instant> {
        let book = self.store.book();
        let issued = book.token_ends.get(round).copied();
        issued.or_else(|| Some(book.draws.get(round)?.at.plus_days(level.days)))
    }

    /// Makes a key for a token, once. It is durable in the gate's file and in the log before it is shown.
    ///
    /// # Errors
    /// When the token is none, is for something else, is too old, or was used.
    pub fn redeem(&mut self, token: &Token, now: Instant) -> Result<Redeemed, Refusal> {
        let key = self.token_key()?;
        let level = self.with_tokens()?.0.clone();
        let mut found = Err(TokenError::Challenge);
        for round in self.store.book().draws.keys() {
            match token.verify(&key, &token::challenge(&self.programme.name, round)?) {
                Err(TokenError::Challenge) => {}
                other => found = other.map(|()| round.clone()),
            }
        }
        let round = found?;
        let expires = self.tokens_end(&round, &level).unwrap_or(now);
        if expires <= now {
            return Err(Refusal::moment(format!("tokens of round `{round}` were good until {expires}")));
        }
        let nullifier = token.nullifier();
        if self.store.book().spent.contains_key(&nullifier) {
            return Err(Refusal::new(Code::Spent, "this token was used").hint("a token gives one key, once"));
        }
        let new = NewKey {
            subject: token_quota(&nullifier),
            role: self.programme.role.clone(),
            stages: level.stages,
            models: level.models,
            expires: Some(expires),
            quota: Some(token_quota(&nullifier)),
            limits: level.limits,
        };
        let (secret, key) = self.issue(new, now)?;
        self.commit(Row::Spent { at: now, nullifier, round, key: key.clone(), expires }, now)?;
        Ok(Redeemed { secret, key, expires })
    }
}

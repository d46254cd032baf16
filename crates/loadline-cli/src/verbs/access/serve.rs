//! `loadline access serve`: a programme over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use hyper::header::CACHE_CONTROL;
use loadline_access::refusal::{Code, Refusal};
use loadline_access::request::MAX_REQUEST_BYTES;
use loadline_access::token::Token;
use loadline_access::{Desk, errand};
use loadline_core::Instant;
use loadline_core::untrusted::one_line;
use serde::Serialize;
use serde_json::json;

use super::operator::{self, Operator};
use super::{issuers, office};
use crate::authority::roots;
use crate::failure::Result;
use crate::server::{self, Answer, Asked, Opening, Service};
use crate::ui::Ui;

/// Serve a programme over HTTP until Ctrl-C
///
/// Applicants and reviewers use the same verbs with its URL in place of the file. No TLS: beyond this machine a proxy
/// belongs in front of it. Meanwhile the folder is locked: `draw`, `grant`, `revoke`, `erase` and `usage` take the URL of the
/// operator's door, which `[admin]` in the programme's file opens. Both URLs are printed, the operator's last.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access serve access.toml
  loadline access serve access.toml --listen 127.0.0.1:8040")]
pub struct Serve {
    /// The programme's file
    #[arg(value_name = "PROGRAMME")]
    pub programme: PathBuf,
    /// Address and port to listen on (default: as the programme says); port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}

/// See [`Serve`].
pub fn run(args: &Serve, ui: &Ui) -> Result {
    let programme = office::read(&args.programme)?;
    let listen = args.listen.unwrap_or(programme.listen);
    let what = format!("the programme `{}`", programme.name);
    let key = programme.admin.as_ref().map(operator::key).transpose()?;
    let mut desk = office::open(&programme, ui)?;
    // An issuer that cannot be reached now fails nobody who comes with a key; it is asked again later.
    if let Err(failure) = issuers::learn(&mut desk) {
        ui.warning(one_line(&failure.message, 400));
    }
    let most = programme.requests_per_minute;
    let counter = Mutex::new(Counter { minute: 0, taken: 0, most });
    let desk = Arc::new(Mutex::new(desk));
    let learnt = Mutex::new(roots::now()?);
    let service = Requests { desk: Arc::clone(&desk), counter, learnt, ui: ui.clone() };
    let mut openings =
        vec![Opening { listen, service: Arc::new(service), what: &what, chosen: server::LISTEN }];
    if let (Some(admin), Some(key)) = (&programme.admin, key) {
        let service = Arc::new(Operator::new(desk, key));
        let (listen, chosen) = (admin.listen, "`[admin] listen` of the programme");
        openings.push(Opening { listen, service, what: "its operator's door", chosen });
    }
    server::serve_all(openings, ui)
}

/// Requests of this minute.
struct Counter {
    minute: u64,
    taken: u64,
    most: u64,
}

impl Counter {
    fn take(&mut self, now: Instant) -> bool {
        let minute = now.seconds() / 60;
        if minute != self.minute {
            (self.minute, self.taken) = (minute, 0);
        }
        self.taken += 1;
        self.taken <= self.most
    }
}

struct Requests {
    /// One request at a time: each is durable before the next is looked at.
    desk: Arc<Mutex<Desk>>,
    counter: Mutex<Counter>,
    /// When the keys of the issuers were fetched.
    learnt: Mutex<Instant>,
    ui: Ui,
}

/// How often the keys of the issuers are fetched at most, in seconds.
const LEARN_EVERY_S: u64 = 60;

impl Requests {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        errand::held(&self.desk)
    }

    fn post(&self, asked: &Asked) -> Answer {
        if asked.method != Method::POST {
            return Answer::not_allowed("POST");
        }
        let Ok(now) = roots::now() else {
            return self.refuse(&Refusal::new(Code::Unavailable, "the clock is wrong"));
        };
        let room = self.counter.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        if !room {
            return self.refuse(&crowded());
        }
        let mut reply = self.desk().take(&asked.body, now);
        // An issuer may have new keys, or could not be reached before.
        let may_be_issuer =
            |refusal: &Refusal| matches!(refusal.code, Code::IdentityRefused | Code::Unavailable);
        if reply.as_ref().is_err_and(may_be_issuer) && self.learn_again(now) {
            reply = self.desk().take(&asked.body, now);
        }
        match reply {
            Ok(reply) => json(200, &reply),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Fetches the keys of the issuers again, unless that was done just now. The desk is not locked meanwhile: issuers
    /// may take their time.
    fn learn_again(&self, now: Instant) -> bool {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        let programme = self.desk().programme().clone();
        if programme.issuers.is_empty() || now.seconds().saturating_sub(learnt.seconds()) < LEARN_EVERY_S {
            return false;
        }
        *learnt = now;
        drop(learnt);
        let fetched = issuers::fetch(&programme);
        if let Err(failure) = issuers::take(&mut self.desk(), fetched) {
            self.ui.warning(one_line(&failure.message, 400));
        }
        true
    }

    /// A token for a key: as RFC 9577 has it in `Authorization`, or alone in the body.
    fn redeem(&self, asked: &Asked) -> Answer {
        if asked.method != Method::POST {
            return Answer::not_allowed("POST");
        }
        let Ok(now) = roots::now() else {
            return self.refuse(&Refusal::new(Code::Unavailable, "the clock is wrong"));
        };
        if !self.counter.lock().unwrap_or_else(PoisonError::into_inner).take(now) {
            return self.refuse(&crowded());
        }
        let token = match &asked.authorization {
            Some(header) => Token::from_authorization(header.expose()),
            None => Token::parse(std::str::from_utf8(&asked.body).unwrap_or_default().trim()),
        };
        let key = token.map_err(Refusal::from).and_then(|token| self.desk().redeem(&token, now));
        match key {
            Ok(key) => json(200, &json!({ "key": key })),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn get(&self, asked: &Asked) -> Answer {
        if !matches!(asked.method, Method::GET | Method::HEAD) {
            return Answer::not_allowed("GET, HEAD");
        }
        let Ok(now) = roots::now() else {
            return self.refuse(&Refusal::new(Code::Unavailable, "the clock is wrong"));
        };
        match asked.path.as_str() {
            "/programme" => json(200, &about(&self.desk())),
            "/figures" => json(200, &self.desk().figures(now)),
            path => {
                match path.strip_prefix("/lottery/").map(|round| self.desk().lottery(round)) {
                    Some(Ok(lottery)) => json(200, &lottery),
                    Some(Err(refusal)) => self.refuse(&refusal),
                    None => self.refuse(&Refusal::new(Code::Unknown, "there is no such path").hint(
                        "`/programme`, `/figures`, `/lottery/ROUND`, `/requests` and `/tokens` are there",
                    )),
                }
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        if refusal.code != Code::Unavailable {
            return json(refusal.code.status(), refusal);
        }
        // What is wrong with the disk is for whoever runs the programme.
        self.ui.warning(format_args!(
            "{} ({})",
            one_line(&refusal.message, 400),
            one_line(&refusal.hint, 200)
        ));
        let told = Refusal::new(refusal.code, "the programme cannot answer now").hint("try again later");
        json(refusal.code.status(), &told)
    }
}

/// A value as an answer that nobody keeps.
pub(super) fn json(status: u16, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => Answer::new(status, "application/json", bytes).with(CACHE_CONTROL, "no-store"),
        Err(_) => Answer::words(500, "the programme cannot answer"),
    }
}

fn crowded() -> Refusal {
    Refusal::new(Code::Full, "too many requests in this minute").hint("try again in a minute")
}

/// What applicants need to know.
fn about(desk: &Desk) -> serde_json::Value {
    let programme = desk.programme();
    let rounds: Vec<_> = programme.rounds.iter().map(|round| {
        json!({ "name": round.name, "opens": round.opens, "closes": round.closes, "places": round.places })
    }).collect();
    let levels: Vec<_> = programme.levels.iter().map(|level| {
        json!({ "name": level.name, "stages": level.stages, "models": level.models, "days": level.days, "limits": level.limits })
    }).collect();
    json!({
        "name": programme.name,
        "rounds": rounds,
        "levels": levels,
        "agree": programme.agree,
        "review_days": programme.review_days,
        "appeal_days": programme.appeal_days,
        "issuers": programme.issuers.iter().map(|issuer| json!({ "url": issuer.url, "audience": issuer.audience })).collect::<Vec<_>>(),
        "tokens": desk.token_key().ok().map(|key| json!({ "token-type": 2, "token-key": URL_SAFE_NO_PAD.encode(key.spki()) })),
        "beacon": programme.beacon,
        "digest": programme.digest,
    })
}

impl Service for Requests {
    fn longest_body(&self) -> usize {
        MAX_REQUEST_BYTES
    }

    fn answer(&self, asked: &Asked) -> Answer {
        match asked.path.as_str() {
            "/requests" => self.post(asked),
            "/tokens" => self.redeem(asked),
            _ => self.get(asked),
        }
    }
}

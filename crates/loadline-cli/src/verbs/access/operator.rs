//! The operator's door of a programme that is served: errands, for whoever has its key.

use std::sync::{Arc, Mutex};

use hyper::Method;
use hyper::header::WWW_AUTHENTICATE;
use loadline_access::errand::{self, MAX_ERRAND_BYTES};
use loadline_access::refusal::{Code, Refusal};
use loadline_access::{Desk, Errand};
use loadline_core::Secret;
use loadline_gate::admin::OperatorKey;
use loadline_gate::config::AdminConfig;

use super::serve::json;
use crate::authority::roots;
use crate::door;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::server::{Answer, Asked, Service};

/// Where errands are taken.
pub const ERRANDS: &str = "/errands";

/// The key that a programme's operator comes with.
pub fn key(admin: &AdminConfig) -> Result<OperatorKey> {
    let hint =
        "`admin.key_env` of the programme names it: set it to a long random text, or leave out `[admin]`";
    let key = door::key(&admin.key_env, hint)?;
    OperatorKey::of(key.expose())
        .ok_or_else(|| Failure::new(Exit::Usage, "the operator's key is blank").hint(hint))
}

/// The door.
pub struct Operator {
    desk: Arc<Mutex<Desk>>,
    key: OperatorKey,
}

impl Operator {
    /// A door to this desk, with this key.
    pub fn new(desk: Arc<Mutex<Desk>>, key: OperatorKey) -> Self {
        Self { desk, key }
    }

    fn done(&self, body: &[u8]) -> std::result::Result<errand::Done, Refusal> {
        let errand = Errand::parse(body)?;
        let now = roots::now().map_err(|_| Refusal::new(Code::Unavailable, "the clock is wrong"))?;
        errand::run(&self.desk, &errand, now)
    }
}

impl Service for Operator {
    fn longest_body(&self) -> usize {
        MAX_ERRAND_BYTES
    }

    fn answer(&self, asked: &Asked) -> Answer {
        if asked.path != ERRANDS {
            let refusal = Refusal::new(Code::Unknown, "there is no such path at the operator's door");
            return json(
                404,
                &refusal.hint("`POST /errands`; what is public is at the programme's own address"),
            );
        }
        if asked.method != Method::POST {
            return Answer::not_allowed("POST");
        }
        if !self.key.opens(asked.authorization.as_ref().map(Secret::expose)) {
            let refusal = Refusal::new(Code::NoKey, "no key, or not the operator's").hint(
                "send `Authorization: Bearer KEY`, with the key in the variable that `admin.key_env` of the programme names",
            );
            return json(refusal.code.status(), &refusal).with(WWW_AUTHENTICATE, "Bearer");
        }
        // Whoever has the key may know what is wrong with the disk.
        match self.done(&asked.body) {
            Ok(done) => json(200, &done),
            Err(refusal) => json(refusal.code.status(), &refusal),
        }
    }
}

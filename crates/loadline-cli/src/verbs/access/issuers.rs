//! The keys of issuers of ID tokens: from a file, or from the issuer (OpenID Connect Discovery) by the one TLS client.

use loadline_access::programme::Issuer;
use loadline_access::{Desk, Programme, identity};
use loadline_core::untrusted::one_line;
use loadline_model::{Environment, Web};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The largest discovery document that is read, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 << 10;

/// Gives a desk the keys of the issuers of its programme.
///
/// # Errors
/// The first issuer whose keys cannot be had. Those of the others are known then.
pub fn learn(desk: &mut Desk) -> Result<()> {
    let fetched = fetch(desk.programme());
    take(desk, fetched)
}

/// The keys of each issuer of a programme, as far as they can be had. Takes its time.
pub fn fetch(programme: &Programme) -> Vec<(String, Result<Vec<u8>>)> {
    programme.issuers.iter().map(|issuer| (issuer.url.clone(), keys_of(issuer))).collect()
}

/// Gives a desk what was fetched.
///
/// # Errors
/// As [`learn`].
pub fn take(desk: &mut Desk, fetched: Vec<(String, Result<Vec<u8>>)>) -> Result<()> {
    let mut first = Ok(());
    for (issuer, jwks) in fetched {
        let learnt = jwks.and_then(|jwks| desk.learn(&issuer, &jwks).map_err(|why| unusable(&issuer, &why)));
        first = first.and(learnt);
    }
    first
}

fn keys_of(issuer: &Issuer) -> Result<Vec<u8>> {
    let Some(path) = &issuer.jwks else { return from_issuer(&issuer.url) };
    let read = loadline_gate::disk::read(path, identity::MAX_JWKS_BYTES);
    let read = read.map_err(|error| unusable(&issuer.url, &error.to_string()))?;
    read.ok_or_else(|| unusable(&issuer.url, &format!("`{}` is not there", path.display())))
}

fn from_issuer(issuer: &str) -> Result<Vec<u8>> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let document = get(issuer, base, "/.well-known/openid-configuration", MAX_DOCUMENT_BYTES)?;
    let uri = identity::discovered(issuer, &document).map_err(|why| unusable(issuer, &why))?;
    let scheme = if issuer.starts_with("https://") { "https://" } else { "http://" };
    let rest = uri
        .strip_prefix(scheme)
        .ok_or_else(|| unusable(issuer, "its keys are at another kind of address"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    get(issuer, &format!("{scheme}{host}"), &format!("/{path}"), identity::MAX_JWKS_BYTES)
}

fn get(issuer: &str, base: &str, path: &str, most: usize) -> Result<Vec<u8>> {
    let web = Web::open(base, &Environment::process()).map_err(|error| unusable(issuer, &error.message))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
    let reply = runtime.block_on(web.get(path, most)).map_err(|error| unusable(issuer, &error.message))?;
    match reply.status {
        200 => Ok(reply.body.to_vec()),
        status => Err(unusable(issuer, &format!("`{base}{path}` answered with status {status}"))),
    }
}

fn unusable(issuer: &str, why: &str) -> Failure {
    let message =
        format!("the keys of the issuer `{}` cannot be had: {}", one_line(issuer, 100), one_line(why, 300));
    Failure::new(Exit::ModelUnreachable, message)
        .hint("check the issuer's URL; `jwks` in the programme can name a file with its keys")
}

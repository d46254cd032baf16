//! What an order names: read from a command line, where a slip stops the wrong thing.

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_gate::ledger::StopTarget;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The longest name of a model or key, in bytes.
const MOST_BYTES: usize = 200;

/// Reads `ALL`, `model:NAME`, `license:DIGEST`, `key:ID`, a whole digest, or a name that can be a model's only.
///
/// # Errors
/// When it could be the name of several things.
pub fn read(text: &str) -> Result<StopTarget> {
    let shown = one_line(text, 80);
    let usage = |message: String, hint: String| Failure::new(Exit::Usage, message).hint(hint);
    let plain = |name: &str| {
        let is_name =
            !name.is_empty() && name.len() <= MOST_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic());
        is_name.then(|| name.to_owned()).ok_or_else(|| {
            usage(
                format!("`{shown}` names nothing"),
                "a name has 1 to 200 visible ASCII characters".to_owned(),
            )
        })
    };
    let digest = |text: &str| {
        text.parse::<Digest>().map_err(|_| {
            usage(
                format!("`{shown}` is no digest of a licence"),
                "give all of it: `sha256:` and 64 hexadecimal digits, as `loadline license show` prints it"
                    .to_owned(),
            )
        })
    };
    if text == "ALL" {
        return Ok(StopTarget::All);
    }
    if let Some(name) = text.strip_prefix("model:") {
        return plain(name).map(StopTarget::Model);
    }
    if let Some(id) = text.strip_prefix("key:") {
        return plain(id).map(StopTarget::Key);
    }
    if let Some(name) = text.strip_prefix("license:") {
        return digest(name).map(StopTarget::License);
    }
    if text.starts_with("sha256:") {
        return digest(text).map(StopTarget::License);
    }
    if text.eq_ignore_ascii_case("all") {
        let hint =
            "write `ALL` for everything, or `model:".to_owned() + &shown + "` for a model of that name";
        return Err(usage(format!("`{shown}` could be everything or a model"), hint));
    }
    if text.bytes().all(|byte| byte.is_ascii_hexdigit()) && !text.is_empty() {
        let hint = format!("write `model:{shown}` or `key:{shown}`, or a licence's whole digest");
        return Err(usage(format!("`{shown}` could be a model, a key or a licence"), hint));
    }
    plain(text).map(StopTarget::Model)
}

/// The target in words.
pub fn words(target: &StopTarget) -> String {
    match target {
        StopTarget::All => "everything".to_owned(),
        StopTarget::Model(name) => format!("model `{}`", one_line(name, 200)),
        StopTarget::License(digest) => format!("licence {digest}"),
        StopTarget::Key(id) => format!("key `{}`", one_line(id, 200)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_two_things_is_refused() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, target) in [
            ("ALL", StopTarget::All),
            ("small", StopTarget::Model("small".to_owned())),
            ("model:ALL", StopTarget::Model("ALL".to_owned())),
            ("model:0a1b2c3d4e5f", StopTarget::Model("0a1b2c3d4e5f".to_owned())),
            ("key:0a1b2c3d4e5f", StopTarget::Key("0a1b2c3d4e5f".to_owned())),
            (&digest, StopTarget::License(digest.parse().unwrap())),
            (&format!("license:{digest}"), StopTarget::License(digest.parse().unwrap())),
        ] {
            assert_eq!(read(text).unwrap(), target);
        }
        for (text, says) in [
            ("all", "could be everything or a model"),
            ("0a1b2c3d4e5f", "could be a model, a key or a licence"),
            ("cafe", "could be a model, a key or a licence"),
            ("license:0a1b", "is no digest of a licence"),
            ("sha256:0a1b", "is no digest of a licence"),
            ("model:", "names nothing"),
            ("two words", "names nothing"),
            ("", "names nothing"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.message.contains(says) && failure.hint.is_some(), "{text}: {}", failure.message);
        }
    }
}

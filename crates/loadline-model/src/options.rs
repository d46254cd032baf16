//! What the user may set on a model over HTTP.

use std::collections::BTreeMap;

use loadline_core::{ModelError, ModelErrorKind, untrusted};

/// What the user said of a model besides its reference: `--base-url` and each `--model-arg KEY=VALUE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelArgs {
    /// Where the endpoint is, up to and including its version: `http://127.0.0.1:8000/v1`.
    pub base_url: Option<String>,
    /// The `KEY=VALUE` pairs, in order.
    pub pairs: Vec<(String, String)>,
}

impl ModelArgs {
    /// Splits each `KEY=VALUE`.
    ///
    /// # Errors
    /// [`ModelErrorKind::Refused`] for a text without `=` or with an empty key.
    pub fn parse<S: AsRef<str>>(base_url: Option<String>, pairs: &[S]) -> Result<Self, ModelError> {
        let pairs = pairs.iter().map(|pair| split(pair.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { base_url, pairs })
    }
}

fn split(pair: &str) -> Result<(String, String), ModelError> {
    match pair.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(ModelError::new(
            ModelErrorKind::Refused,
            format!("`{}` is not a model argument", untrusted::one_line(pair, 60)),
        )
        .with_hint("write it as KEY=VALUE, for example --model-arg api=chat")),
    }
}

/// The variables that keys and proxies are read from: a snapshot, so that tests need not change the process.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; those that are not UTF-8 are left out.
    pub fn process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// An environment of these variables only.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    /// A variable, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Variables hold keys: show the names only.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

//! Keys: where they come from and where they may go.

use hyper::header::HeaderName;
use loadline_core::{ModelError, ModelErrorKind, Secret};

use crate::base_url::BaseUrl;
use crate::options::{Environment, HttpOptions, secret_value};
use crate::transport::KeySource;

/// A header, what stands in front of the secret in its value, and the secret.
pub(crate) type SecretHeader = (HeaderName, String, Secret);

/// The key for an endpoint. The provider's own home needs one; elsewhere the provider's usual variable is used when
/// it is set, but never over an unencrypted connection to another machine. A variable that the user named is used in
/// any case and must be set.
pub(crate) fn find(
    usual: &str,
    options: &HttpOptions,
    environment: &Environment,
    base: &BaseUrl,
    is_home: bool,
) -> Result<(Option<Secret>, KeySource), ModelError> {
    let variable = options.key_env.as_deref().unwrap_or(usual);
    let named = options.key_env.is_some();
    let is_private = base.is_https() || base.is_loopback();
    let key = if named || is_private { secret_value(environment, variable)? } else { None };
    if key.is_none() && (named || is_home) {
        let message = format!("no key for {base}: the environment variable {variable} is not set");
        return Err(ModelError::new(ModelErrorKind::Unauthorized, message).with_hint(format!(
            "export {variable}=…, or name another variable with --model-arg key_env=NAME"
        )));
    }
    let sent = key.is_some();
    Ok((key, KeySource { variable: variable.to_owned(), sent }))
}

/// The headers of `--model-arg header=NAME:VARIABLE`.
pub(crate) fn extra_headers(
    options: &HttpOptions,
    environment: &Environment,
) -> Result<Vec<SecretHeader>, ModelError> {
    let headers = options.headers.iter().map(|(name, variable)| {
        let value = secret_value(environment, variable)?.ok_or_else(|| {
            let message = format!("no value for the header {name}: {variable} is not set");
            ModelError::new(ModelErrorKind::Unauthorized, message).with_hint(format!("export {variable}=…"))
        })?;
        Ok((name.clone(), String::new(), value))
    });
    headers.collect()
}

/// Which of an OpenAI account's organisations and projects pays.
pub(crate) fn account_headers(environment: &Environment) -> Result<Vec<SecretHeader>, ModelError> {
    let mut headers = Vec::new();
    for (name, variable) in
        [("openai-organization", "OPENAI_ORG_ID"), ("openai-project", "OPENAI_PROJECT_ID")]
    {
        if let Some(value) = secret_value(environment, variable)? {
            headers.push((HeaderName::from_static(name), String::new(), value));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ModelArgs;

    fn found(base: &str, pairs: &[&str], is_home: bool) -> Result<Option<String>, ModelError> {
        let environment = Environment::of([("OPENAI_API_KEY", "sk-usual"), ("MINE", "sk-mine")]);
        let options = HttpOptions::from_args("openai", &ModelArgs::parse(None, pairs)?)?;
        let (key, source) = find("OPENAI_API_KEY", &options, &environment, &BaseUrl::parse(base)?, is_home)?;
        assert_eq!(source.sent, key.is_some());
        Ok(key.map(|key| key.expose().to_owned()))
    }

    #[test]
    fn a_key_goes_only_where_it_should() {
        assert_eq!(found("https://a.example/v1", &[], true).unwrap().as_deref(), Some("sk-usual"));
        assert_eq!(found("http://127.0.0.1:1/v1", &[], false).unwrap().as_deref(), Some("sk-usual"));
        assert_eq!(found("http://10.0.0.1:1/v1", &[], false).unwrap(), None);
        assert_eq!(
            found("http://10.0.0.1:1/v1", &["key_env=MINE"], false).unwrap().as_deref(),
            Some("sk-mine")
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = found("http://10.0.0.1:1/v1", &["key_env=OTHER"], false).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Unauthorized);
        assert!(error.message.contains("OTHER is not set"), "{}", error.message);
        let none = Environment::default();
        let home = BaseUrl::parse("https://a.example/v1").unwrap();
        let error = find("OPENAI_API_KEY", &HttpOptions::default(), &none, &home, true).unwrap_err();
        assert!(error.hint.unwrap().contains("export OPENAI_API_KEY"));
        assert!(find("OPENAI_API_KEY", &HttpOptions::default(), &none, &home, false).unwrap().0.is_none());
    }
}

//! How a model in this process is opened: `precision=f32`, `threads=2`, `context=4096`, `chat=off`.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// Options of a local model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalOptions {
    /// What the weights and activations are multiplied in.
    pub precision: Precision,
    /// Threads to compute on; `None` takes all the processor offers. Does not change the answers.
    pub threads: Option<NonZeroUsize>,
    /// Most tokens in one sequence; `None` takes what the file says. Never more than the file says.
    pub context: Option<NonZeroUsize>,
    /// Whether conversations go through the chat template of the file.
    pub chat: ChatUse,
}

/// What matrix products are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Weights as the file has them, activations in 32-bit floats: exact scores, slower.
    F32,
    /// Weights as the file has them, activations rounded to 8 bits in blocks of 32: fast.
    #[default]
    Int8,
}

/// Whether conversations go through the chat template of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChatUse {
    /// The template where the file has one; otherwise the messages as plain text.
    #[default]
    Auto,
    /// The template; a file without one is an error.
    On,
    /// Always the messages as plain text.
    Off,
}

/// Why an option was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No option of this name.
    #[error("`{key}` is not an option of a local model")]
    UnknownKey {
        /// The name that was given.
        key: String,
        /// The option that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// The value does not fit the option.
    #[error("`{key}={value}`: expected {expected}")]
    BadValue {
        /// The option.
        key: &'static str,
        /// The value that was given, made safe to show.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// The same option twice.
    #[error("`{0}` is given twice")]
    Repeated(&'static str),
}

impl OptionError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::UnknownKey { nearest: None, .. } => format!("the options are {}", KEYS.join(", ")),
            Self::BadValue { key, .. } | Self::Repeated(key) => format!("give `{key}` once, as KEY=VALUE"),
        }
    }
}

/// The names of the options.
pub const KEYS: [&str; 4] = ["precision", "threads", "context", "chat"];

impl LocalOptions {
    /// The options from pairs of name and value.
    ///
    /// # Errors
    /// An unknown name (with the nearest known one), a value that does not fit, a name given twice.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut seen = Vec::new();
        for (key, value) in pairs {
            let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
                let nearest = loadline_core::suggest::nearest(key, KEYS);
                return Err(OptionError::UnknownKey { key: safe(key), nearest });
            };
            if seen.contains(&key) {
                return Err(OptionError::Repeated(key));
            }
            seen.push(key);
            let bad = |expected| OptionError::BadValue { key, value: safe(value), expected };
            match key {
                "precision" => options.precision = value.parse().map_err(bad)?,
                "chat" => options.chat = value.parse().map_err(bad)?,
                "threads" => options.threads = Some(count(value, 1024).map_err(bad)?),
                _ => options.context = Some(count(value, 1 << 24).map_err(bad)?),
            }
        }
        Ok(options)
    }
}

fn safe(text: &str) -> String {
    loadline_core::untrusted::one_line(text, 60)
}

fn count(value: &str, most: usize) -> Result<NonZeroUsize, &'static str> {
    value.parse::<NonZeroUsize>().ok().filter(|n| n.get() <= most).ok_or(if most == 1024 {
        "a whole number from 1 to 1024"
    } else {
        "a whole number from 1 to 16777216"
    })
}

impl FromStr for Precision {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "f32" => Ok(Self::F32),
            "int8" => Ok(Self::Int8),
            _ => Err("f32 or int8"),
        }
    }
}

impl FromStr for ChatUse {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("auto, on or off"),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_pairs() {
        let options = LocalOptions::from_pairs([("precision", "f32"), ("threads", "2"), ("context", "512")]);
        let options = options.unwrap();
        assert_eq!(options.precision, Precision::F32);
        assert_eq!(options.threads.map(NonZeroUsize::get), Some(2));
        assert_eq!(options.context.map(NonZeroUsize::get), Some(512));
        assert_eq!(options.chat, ChatUse::Auto);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |pair| LocalOptions::from_pairs([pair]).unwrap_err();
        let unknown = error(("thread", "2"));
        assert_eq!(unknown.to_string(), "`thread` is not an option of a local model");
        assert_eq!(unknown.hint(), "did you mean `threads`?");
        assert_eq!(error(("zzz", "2")).hint(), "the options are precision, threads, context, chat");
        assert_eq!(error(("precision", "int4")).to_string(), "`precision=int4`: expected f32 or int8");
        assert!(error(("threads", "0")).to_string().contains("1 to 1024"));
        assert!(error(("chat", "\u{1b}[2J")).to_string().chars().all(|c| !c.is_control()));
        let twice = LocalOptions::from_pairs([("chat", "on"), ("chat", "off")]).unwrap_err();
        assert_eq!(twice, OptionError::Repeated("chat"));
    }
}

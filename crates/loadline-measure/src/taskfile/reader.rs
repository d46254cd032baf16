//! Reading typed values out of a [`Config`], with errors that point at the value.

use loadline_core::suggest::nearest;

use super::include::{Config, Document, at_place};
use super::yaml::{Node, Yaml};
use crate::task::TaskError;

/// One mapping in a task file: the top level, or a mapping inside it.
pub struct Section<'c> {
    entries: Vec<(&'c Node, &'c Node, &'c Document)>,
    /// `""` at the top level, else the key it stands under.
    name: &'c str,
}

impl<'c> Section<'c> {
    /// The top level.
    pub fn top(config: &'c Config) -> Self {
        Self { entries: config.settings().map(|s| (s.key, s.value, s.document)).collect(), name: "" }
    }

    /// A mapping that stands under `name`.
    ///
    /// # Errors
    /// When the node is no mapping.
    pub fn nested(node: &'c Node, document: &'c Document, name: &'c str) -> Result<Self, TaskError> {
        match &node.value {
            Yaml::Map(entries) => {
                Ok(Self { entries: entries.iter().map(|(k, v)| (k, v, document)).collect(), name })
            }
            other => Err(wrong(node, document, name, "a mapping", other)),
        }
    }

    /// Whether a key is there at all, even with nothing in it.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(k, ..)| k.value.as_str() == Some(key))
    }

    /// The value of a key; `null` and `!function` count as not there.
    pub fn get(&self, key: &str) -> Option<(&'c Node, &'c Document)> {
        self.entries
            .iter()
            .find(|(k, ..)| k.value.as_str() == Some(key))
            .filter(|(_, v, _)| !matches!(v.value, Yaml::Null | Yaml::Function(_)))
            .map(|(_, v, document)| (*v, *document))
    }

    /// A mapping that stands under a key.
    ///
    /// # Errors
    /// When the value is no mapping.
    pub fn section(&self, key: &'c str) -> Result<Option<Self>, TaskError> {
        self.get(key).map(|(node, document)| Section::nested(node, document, key)).transpose()
    }

    /// The keys that are texts.
    pub fn keys(&self) -> impl Iterator<Item = &'c str> {
        self.entries.iter().filter_map(|(k, ..)| k.value.as_str())
    }

    /// Refuses keys that are not in a list.
    ///
    /// # Errors
    /// On the first unknown key; the hint names the nearest known one.
    pub fn only(&self, known: &[&str]) -> Result<(), TaskError> {
        for (key, _, document) in &self.entries {
            let text = key.value.key_text();
            if known.contains(&text.as_str()) {
                continue;
            }
            let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
            let error = at_place(&document.path, key.at, format!("unknown key `{text}`{place}"));
            return Err(match nearest(&text, known.iter().copied()) {
                Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
                None => error.with_hint(format!("known keys: {}", known.join(", "))),
            });
        }
        Ok(())
    }

    /// A text; a number or truth value is taken as it is written by Python.
    ///
    /// # Errors
    /// When it is a list or mapping.
    pub fn text(&self, key: &str) -> Result<Option<String>, TaskError> {
        let Some((node, document)) = self.get(key) else { return Ok(None) };
        match &node.value {
            Yaml::Seq(_) | Yaml::Map(_) => Err(wrong(node, document, key, "a text", &node.value)),
            other => Ok(Some(other.key_text())),
        }
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// When it is something else.
    pub fn count(&self, key: &str) -> Result<Option<u32>, TaskError> {
        let Some((node, document)) = self.get(key) else { return Ok(None) };
        match &node.value {
            Yaml::Int(i) => match u32::try_from(*i) {
                Ok(count) => Ok(Some(count)),
                Err(_) => Err(at_place(
                    &document.path,
                    node.at,
                    format!("`{key}` needs a number from 0 to {}, not {i}", u32::MAX),
                )),
            },
            other => Err(wrong(node, document, key, "a whole number", other)),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is something else.
    pub fn int(&self, key: &str) -> Result<Option<i64>, TaskError> {
        let Some((node, document)) = self.get(key) else { return Ok(None) };
        match &node.value {
            Yaml::Int(i) => Ok(Some(*i)),
            other => Err(wrong(node, document, key, "a whole number", other)),
        }
    }

    /// A number; PyYAML reads `1e5` as a text, which is taken as the number it looks like.
    ///
    /// # Errors
    /// When it is something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>, TaskError> {
        let Some((node, document)) = self.get(key) else { return Ok(None) };
        let number = match &node.value {
            #[expect(clippy::cast_precision_loss, reason = "settings are small numbers")]
            Yaml::Int(i) => Some(*i as f64),
            Yaml::Float(f) => Some(*f),
            Yaml::Str(text) => text.parse().ok(),
            _ => None,
        };
        match number.filter(|n| n.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(node, document, key, "a number", &node.value)),
        }
    }

    /// A truth value.
    ///
    /// # Errors
    /// When it is something else.
    pub fn truth(&self, key: &str) -> Result<Option<bool>, TaskError> {
        let Some((node, document)) = self.get(key) else { return Ok(None) };
        match &node.value {
            Yaml::Bool(b) => Ok(Some(*b)),
            other => Err(wrong(node, document, key, "true or false", other)),
        }
    }

    /// One text or a list of texts.
    ///
    /// # Errors
    /// When it is something else.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>, TaskError> {
        let Some((node, document)) = self.get(key) else { return Ok(None) };
        let one = |node: &Node| match &node.value {
            Yaml::Seq(_) | Yaml::Map(_) | Yaml::Null | Yaml::Function(_) => {
                Err(wrong(node, document, key, "a text or a list of texts", &node.value))
            }
            other => Ok(other.key_text()),
        };
        match &node.value {
            Yaml::Seq(items) => items.iter().map(one).collect::<Result<_, _>>().map(Some),
            _ => Ok(Some(vec![one(node)?])),
        }
    }

    /// A mapping from texts to texts; entries with nothing in them are left out.
    ///
    /// # Errors
    /// When it is something else.
    pub fn table(&self, key: &str) -> Result<Option<Vec<(String, String)>>, TaskError> {
        let Some((node, document)) = self.get(key) else { return Ok(None) };
        let Yaml::Map(entries) = &node.value else {
            return Err(wrong(node, document, key, "a mapping", &node.value));
        };
        let there = entries.iter().filter(|(_, v)| v.value != Yaml::Null);
        Ok(Some(there.map(|(k, v)| (k.value.key_text(), v.value.key_text())).collect()))
    }

    /// A list of mappings. Entries that are `!function` are left out.
    ///
    /// # Errors
    /// When it is something else.
    pub fn sections(&self, key: &'c str) -> Result<Option<Vec<Section<'c>>>, TaskError> {
        let Some((node, document)) = self.get(key) else { return Ok(None) };
        let Yaml::Seq(items) = &node.value else {
            return Err(wrong(node, document, key, "a list", &node.value));
        };
        items
            .iter()
            .filter(|node| !matches!(node.value, Yaml::Function(_)))
            .map(|node| Section::nested(node, document, key))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// An error at the value of a key.
    pub fn error(&self, key: &str, message: impl std::fmt::Display) -> TaskError {
        match self.entries.iter().find(|(k, ..)| k.value.as_str() == Some(key)) {
            Some((_, value, document)) => at_place(&document.path, value.at, message),
            None => match self.entries.first() {
                Some((first, _, document)) => at_place(&document.path, first.at, message),
                None => TaskError::new(message.to_string()),
            },
        }
    }
}

fn wrong(node: &Node, document: &Document, key: &str, needs: &str, is: &Yaml) -> TaskError {
    at_place(&document.path, node.at, format!("`{key}` needs {needs}, this is {}", is.kind()))
}

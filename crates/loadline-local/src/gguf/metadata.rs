//! What a GGUF file says about the model: keys and values.

use std::collections::BTreeMap;

/// The keys and values of a file.
#[derive(Debug, Default)]
pub struct Metadata(pub(super) BTreeMap<String, Value>);

/// A value. Numbers of every width become the widest of their sort; arrays keep 32 bits an element.
#[derive(Debug, PartialEq)]
#[expect(missing_docs, reason = "each says what it holds")]
pub enum Value {
    Integer(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Integers(Vec<i32>),
    Floats(Vec<f32>),
    Texts(TextTable),
}

/// Many short texts in one allocation: a vocabulary of 262,144 tokens is two vectors, not 262,144 strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextTable {
    text: String,
    ends: Vec<u32>,
}

impl TextTable {
    /// How many texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text with this number.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        self.text.get(start..end)
    }

    /// Every text in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Adds a text; false when the table is full (4 GiB).
    pub fn push(&mut self, text: &str) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + text.len()) else { return false };
        self.text.push_str(text);
        self.ends.push(end);
        true
    }

    /// Gives back memory that is not needed.
    pub fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Takes a value out, so that a large table is not kept twice.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    /// Takes a table of texts out; `None` where it is missing or of another sort.
    pub fn take_texts(&mut self, key: &str) -> Option<TextTable> {
        match self.take(key) {
            Some(Value::Texts(table)) => Some(table),
            _ => None,
        }
    }

    /// A text; `None` where it is missing or of another sort.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub fn count(&self, key: &str) -> Option<usize> {
        match self.get(key) {
            Some(Value::Integer(number)) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.get(key) {
            Some(Value::Float(number)) => Some(*number),
            _ => None,
        }
    }

    /// Yes or no.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }
}

//! Reading a TOML document and saying everything that is wrong with it at once, each with its line and column.
//!
//! Numbers are read from their text and never pass through a float. A key that nobody asked for is an error: a
//! misspelt limit must not silently be no limit.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::decimal::{Decimal, Interval};
use crate::names::Named;

/// Largest document that is read, in bytes.
pub const MOST_BYTES: usize = 1 << 20;
/// Most entries of one list.
const MOST_ENTRIES: usize = 10_000;
/// Most bytes of one text.
const MOST_TEXT: usize = 4_000;

/// A line and a column of a document, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// Which key, as `test[2].metric`; empty for the whole document.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.place.line, self.place.column)?;
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a document, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

/// Parses a document and builds a value from it.
///
/// # Errors
/// Everything that is wrong, in the order of the lines.
pub fn read<T>(text: &str, build: impl FnOnce(&Reader<'_, '_>) -> T) -> Result<T, Problems> {
    let sink = Sink { text, problems: RefCell::default() };
    if text.len() > MOST_BYTES {
        sink.add(
            0,
            "",
            format!("the document has {} bytes; at most {MOST_BYTES} are read", text.len()),
            None,
        );
        return Err(Problems(sink.problems.into_inner()));
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        sink.add(at, "", format!("not TOML: {}", one_line(error.message(), 200)), None);
    }
    let parsed = sink.problems.borrow().is_empty();
    let value = parsed.then(|| build(&sink.reader(root.get_ref(), "", root.span())));
    let mut problems = sink.problems.into_inner();
    problems.sort_by_key(|problem| problem.place);
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(Problems(problems)),
    }
}

struct Sink<'s> {
    text: &'s str,
    problems: RefCell<Vec<Problem>>,
}

impl<'s> Sink<'s> {
    fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place { line, column }
    }

    fn add(&self, at: usize, path: &str, message: String, hint: Option<String>) {
        let problem = Problem { place: self.place(at), path: path.to_owned(), message, hint };
        self.problems.borrow_mut().push(problem);
    }

    fn reader<'a>(&'a self, table: &'a DeTable<'s>, path: &str, span: Range<usize>) -> Reader<'a, 's> {
        Reader { table, path: path.to_owned(), span, asked: RefCell::default(), sink: self }
    }
}

/// One table of a document. A method notes what is wrong and returns a stand-in; [`read`] then returns no value.
/// When it goes, keys that were never asked for are reported.
pub struct Reader<'a, 's> {
    table: &'a DeTable<'s>,
    path: String,
    span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
    sink: &'a Sink<'s>,
}

impl Drop for Reader<'_, '_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.iter().filter(|(key, _)| !asked.contains(&key.get_ref().as_ref())) {
            let name = one_line(key.get_ref(), 60);
            let hint = match nearest(key.get_ref(), asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known keys here: {}", asked.join(", ")),
            };
            self.sink.add(
                key.span().start,
                &self.path_to(&name),
                format!("unknown key `{name}`"),
                Some(hint),
            );
        }
    }
}

impl<'a, 's> Reader<'a, 's> {
    fn path_to(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes a problem at a key, or at the table where the key is not there.
    pub fn problem(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let at = self.table.get(key).map_or(self.span.start, |value| value.span().start);
        let path = if key.is_empty() { self.path.clone() } else { self.path_to(key) };
        self.sink.add(at, &path, message.into(), Some(hint.into()).filter(|hint| !hint.is_empty()));
    }

    /// Where a key stands, or the table where the key is not there.
    pub fn place(&self, key: &str) -> Place {
        let at = self.table.get(key).map_or(self.span.start, |value| value.span().start);
        self.sink.place(at)
    }

    /// Whether a key is there.
    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Whether a key holds a text: for a key that may be a text or a table.
    pub fn is_text(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|value| value.get_ref().is_str())
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'s>>> {
        if !self.asked.borrow().contains(&key) {
            self.asked.borrow_mut().push(key);
        }
        self.table.get(key)
    }

    fn missing(&self, key: &'static str, expected: &str) {
        if self.table.get(key).is_none() {
            self.problem(key, "is missing", format!("expected {expected}"));
        }
    }

    fn wrong(&self, key: &str, value: &DeValue<'_>, expected: &str) {
        self.problem(key, format!("is of type {}", value.type_str()), format!("expected {expected}"));
    }

    /// A text, where it is there.
    pub fn text_if(&self, key: &'static str) -> Option<String> {
        let value = self.get(key)?.get_ref();
        let Some(text) = value.as_str() else {
            self.wrong(key, value, "a text in quotation marks");
            return None;
        };
        self.fits(key, text).then(|| text.to_owned())
    }

    fn fits(&self, key: &str, text: &str) -> bool {
        let fits = !text.trim().is_empty()
            && text.len() <= MOST_TEXT
            && !text.chars().any(|c| c.is_control() && c != '\n');
        if !fits {
            let hint = format!("at most {MOST_TEXT} bytes, without control characters");
            self.problem(key, "is empty, too long, or has control characters", hint);
        }
        fits
    }

    /// A text that must be there.
    pub fn text(&self, key: &'static str) -> String {
        self.missing(key, "a text in quotation marks");
        self.text_if(key).unwrap_or_default()
    }

    /// A name that must be there: lower-case letters, digits, `-`, `_`, `.` and `/`.
    pub fn name(&self, key: &'static str) -> String {
        let text = self.text(key);
        let good = text.len() <= 100
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_./".contains(&b));
        if !good {
            let hint = "lower-case letters, digits, `-`, `_`, `.` and `/`; at most 100";
            self.problem(key, format!("`{}` is not a name", one_line(&text, 60)), hint);
        }
        text
    }

    /// A list of texts; empty when the key is not there.
    pub fn texts(&self, key: &'static str) -> Vec<String> {
        let Some(values) = self.list(key, "a list of texts") else { return Vec::new() };
        let mut texts = Vec::new();
        for value in values {
            match value.as_str() {
                Some(text) if self.fits(key, text) => texts.push(text.to_owned()),
                Some(_) => {}
                None => self.wrong(key, value, "a list of texts"),
            }
        }
        texts
    }

    fn list(&self, key: &'static str, expected: &str) -> Option<Vec<&'a DeValue<'s>>> {
        let value = self.get(key)?.get_ref();
        match value.as_array() {
            Some(list) if list.len() <= MOST_ENTRIES => Some(list.iter().map(Spanned::get_ref).collect()),
            Some(list) => {
                let message = format!("has {} entries; at most {MOST_ENTRIES} are read", list.len());
                self.problem(key, message, "");
                None
            }
            None => {
                self.wrong(key, value, expected);
                None
            }
        }
    }

    /// A word from a closed list that must be there.
    pub fn choice<T: Named>(&self, key: &'static str) -> T {
        self.missing(key, &one_of::<T>());
        self.choice_if(key).unwrap_or(T::ALL[0])
    }

    /// A word from a closed list, where it is there.
    pub fn choice_if<T: Named>(&self, key: &'static str) -> Option<T> {
        self.text_if(key).and_then(|text| self.word(key, &text))
    }

    /// Words from a closed list, none twice; empty when the key is not there.
    pub fn choices<T: Named + PartialEq>(&self, key: &'static str) -> Vec<T> {
        let mut words = Vec::new();
        for word in self.texts(key).iter().filter_map(|text| self.word::<T>(key, text)) {
            if words.contains(&word) {
                self.problem(key, format!("`{}` is there twice", word.name()), "");
            }
            words.push(word);
        }
        words
    }

    fn word<T: Named>(&self, key: &str, text: &str) -> Option<T> {
        let found = T::ALL.iter().copied().find(|word| word.name() == text);
        if found.is_none() {
            let hint = match nearest(text, T::ALL.iter().map(|word| word.name())) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("expected {}", one_of::<T>()),
            };
            self.problem(key, format!("`{}` is not known here", one_line(text, 60)), hint);
        }
        found
    }

    /// A decimal that must be there.
    pub fn decimal(&self, key: &'static str) -> Decimal {
        self.missing(key, "a number");
        self.decimal_if(key).unwrap_or_else(Decimal::zero)
    }

    /// A decimal, where it is there.
    pub fn decimal_if(&self, key: &'static str) -> Option<Decimal> {
        let value = self.get(key)?.get_ref();
        self.number(key, value)
    }

    fn number(&self, key: &str, value: &DeValue<'_>) -> Option<Decimal> {
        let text = match value {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            other => {
                self.wrong(key, other, "a number without quotation marks, such as 3.8e25");
                return None;
            }
        };
        match text.strip_prefix('+').unwrap_or(text).parse() {
            Ok(number) => Some(number),
            Err(error) => {
                self.problem(key, error.to_string(), "");
                None
            }
        }
    }

    /// An amount that must be there: a number above zero, or `[lo, hi]`.
    pub fn amount(&self, key: &'static str) -> Interval {
        self.missing(key, "a number above 0, or two as [lo, hi]");
        self.amount_if(key).unwrap_or_else(Interval::zero)
    }

    /// An amount, where it is there: a number above zero, or `[lo, hi]`.
    pub fn amount_if(&self, key: &'static str) -> Option<Interval> {
        let value = self.get(key)?.get_ref();
        let interval = if value.is_array() {
            let numbers: Vec<_> =
                self.list(key, "[lo, hi]")?.into_iter().map(|value| self.number(key, value)).collect();
            match <[Option<Decimal>; 2]>::try_from(numbers) {
                Ok([Some(lo), Some(hi)]) => Interval::new(lo, hi),
                Ok(_) => return None,
                Err(numbers) => {
                    let message = format!("has {} numbers", numbers.len());
                    self.problem(key, message, "an interval is [lo, hi]");
                    return None;
                }
            }
        } else {
            Interval::point(self.number(key, value)?)
        };
        if !interval.lo.is_positive() || interval.hi.as_ref().is_some_and(|hi| *hi < interval.lo) {
            self.problem(key, format!("{interval} is not an amount"), "above 0, and the lower end first");
            return None;
        }
        Some(interval)
    }

    /// A whole number from `least` to `most` that must be there.
    pub fn count(&self, key: &'static str, least: u64, most: u64) -> u64 {
        self.missing(key, &format!("a whole number from {least} to {most}"));
        self.count_if(key, least, most).unwrap_or(least)
    }

    /// A whole number from `least` to `most`, where it is there.
    pub fn count_if(&self, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let value = self.get(key)?.get_ref();
        self.whole(key, value, least, most)
    }

    fn whole(&self, key: &str, value: &DeValue<'_>, least: u64, most: u64) -> Option<u64> {
        let hint = format!("expected a whole number from {least} to {most}");
        let Some(integer) = value.as_integer().filter(|integer| integer.radix() == 10) else {
            self.problem(key, format!("is of type {}", value.type_str()), hint);
            return None;
        };
        let number = integer.as_str().trim_start_matches('+').parse::<u64>().ok();
        let good = number.filter(|number| (least..=most).contains(number));
        if good.is_none() {
            self.problem(key, format!("is {}", one_line(integer.as_str(), 30)), hint);
        }
        good
    }

    /// Whole numbers from `least` to `most`; empty when the key is not there.
    pub fn counts(&self, key: &'static str, least: u64, most: u64) -> Vec<u64> {
        let values = self.list(key, "a list of whole numbers").unwrap_or_default();
        values.into_iter().filter_map(|value| self.whole(key, value, least, most)).collect()
    }

    /// `true` or `false`; must be there.
    pub fn flag(&self, key: &'static str) -> bool {
        self.missing(key, "true or false");
        let Some(value) = self.get(key).map(Spanned::get_ref) else { return false };
        value.as_bool().unwrap_or_else(|| {
            self.wrong(key, value, "true or false");
            false
        })
    }

    /// A table, where it is there.
    pub fn table_if(&self, key: &'static str) -> Option<Reader<'a, 's>> {
        let value = self.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(self.sink.reader(table, &self.path_to(key), value.span())),
            None => {
                self.wrong(key, value.get_ref(), &format!("a table `[{}]`", self.path_to(key)));
                None
            }
        }
    }

    /// A table that must be there.
    pub fn table<T>(&self, key: &'static str, build: impl FnOnce(&Self) -> T) -> Option<T> {
        self.missing(key, &format!("a table `[{}]`", self.path_to(key)));
        self.table_if(key).map(|reader| build(&reader))
    }

    /// The tables of a list such as `[[test]]`; empty when the key is not there.
    pub fn tables(&self, key: &'static str) -> Vec<Reader<'a, 's>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let expected = format!("tables, each under `[[{}]]`", self.path_to(key));
        if self.list(key, &expected).is_none() {
            return Vec::new();
        }
        let list = value.get_ref().as_array().into_iter().flat_map(|list| list.iter());
        let mut readers = Vec::new();
        for (index, entry) in list.enumerate() {
            match entry.get_ref().as_table() {
                Some(table) => {
                    let path = format!("{}[{}]", self.path_to(key), index + 1);
                    readers.push(self.sink.reader(table, &path, entry.span()));
                }
                None => self.wrong(key, entry.get_ref(), &expected),
            }
        }
        readers
    }

    /// Checks that the document is of the format that this build reads.
    pub fn format(&self, expected: &str) {
        let found = self.text("format");
        if !found.is_empty() && found != expected {
            let message = format!("`{}` is not read by this version", one_line(&found, 60));
            self.problem("format", message, format!("write `format = \"{expected}\"`"));
        }
    }
}

fn one_of<T: Named>() -> String {
    format!("one of {}", T::ALL.iter().map(|word| word.name()).collect::<Vec<_>>().join(", "))
}

//! Actions: `ACTION: name(argument)`.

use std::fmt;

/// An action as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act<'a> {
    name: &'a str,
    argument: &'a str,
}

impl Act<'_> {
    /// Whether this is the action `name(argument)`. Capitals, quotation marks and spaces do not matter.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        let (name, argument) = wanted.split_once('(').unwrap_or((wanted, ""));
        self.name.eq_ignore_ascii_case(name) && plain(self.argument) == plain(argument.trim_end_matches(')'))
    }
}

impl fmt::Display for Act<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.argument.chars().take(60).collect();
        write!(f, "{}({shown})", self.name)
    }
}

/// Letters and digits alone, small.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// All actions in a text: behind each `ACTION:`; where there is none, every call of a tool (`name(…)`); where there
/// is none of these either, every line that is nothing but a tool's name.
pub(crate) fn actions<'a>(text: &'a str, tools: &[String]) -> Vec<Act<'a>> {
    let marked = marked(text);
    if !marked.is_empty() {
        return marked;
    }
    let called: Vec<Act<'_>> = text
        .match_indices('(')
        .filter_map(|(at, _)| {
            let name = last_name(text[..at].trim_end());
            let is_tool = tools.iter().any(|tool| tool.eq_ignore_ascii_case(name));
            is_tool.then(|| Act { name, argument: inside(&text[at..]) })
        })
        .collect();
    if !called.is_empty() {
        return called;
    }
    let lines = text.lines().map(|line| line.trim_matches(|c: char| !c.is_alphanumeric() && c != '_'));
    lines
        .filter(|line| tools.iter().any(|tool| tool.eq_ignore_ascii_case(line)))
        .map(|name| Act { name, argument: "" })
        .collect()
}

/// Whether one of these tools is called: behind `ACTION:`, or at the start of a line.
pub(crate) fn calls(text: &str, tools: &[String]) -> bool {
    let is_tool = |name: &str| tools.iter().any(|tool| tool.eq_ignore_ascii_case(name));
    marked(text).iter().any(|act| is_tool(act.name))
        || text.lines().any(|line| {
            let line = line.trim_start_matches(|c: char| !c.is_alphanumeric());
            line.split_once('(').is_some_and(|(name, _)| is_tool(name.trim()))
        })
}

/// The actions behind `ACTION:`.
fn marked(text: &str) -> Vec<Act<'_>> {
    // The same bytes in small ASCII letters: places in one are places in the other.
    let small = text.to_ascii_lowercase();
    let decoration = |c: char| matches!(c, ' ' | '\t' | '*' | '_' | '"' | '\'');
    small
        .match_indices("action")
        .filter_map(|(at, word)| {
            let rest = text[at + word.len()..].trim_start_matches(decoration);
            let rest = rest
                .strip_prefix([':', '='])?
                .trim_start_matches(|c| decoration(c) || c == '\n' || c == '\r');
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let argument = match after.trim_start_matches([' ', '*', '_', '"']) {
                after if after.starts_with('(') => inside(after),
                // What follows without brackets is an argument too: `stop after the last file`.
                _ => head(after),
            };
            (!name.is_empty()).then_some(Act { name, argument })
        })
        .collect()
}

/// What stands between the bracket that a text begins with and the next closing one, on one line.
fn inside(text: &str) -> &str {
    let line = head(text);
    let line = line.strip_prefix('(').unwrap_or(line);
    line.split_once(')').map_or(line, |(inside, _)| inside)
}

/// The start of the first line: as much as an argument can have. The limit keeps reading linear.
fn head(text: &str) -> &str {
    let end = text.char_indices().take(200).find(|(_, c)| *c == '\n').map(|(at, _)| at);
    let end = end.or_else(|| text.char_indices().nth(200).map(|(at, _)| at));
    &text[..end.unwrap_or(text.len())]
}

/// The name that a text ends with.
fn last_name(text: &str) -> &str {
    let start = text.rfind(|c: char| !c.is_alphanumeric() && c != '_');
    start.map_or(text, |at| &text[at + text[at..].chars().next().map_or(1, char::len_utf8)..])
}

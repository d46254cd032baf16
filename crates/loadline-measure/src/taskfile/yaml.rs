//! YAML with places: a tree whose nodes know their line and column, so that a message can point at them.
//!
//! Plain scalars are resolved as PyYAML resolves them (YAML 1.1: `yes` is true, `010` is eight), because task
//! files are written for it.

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// Most nodes in one file, aliases expanded: keeps a few lines of nested aliases from filling the memory.
const MAX_NODES: usize = 1_000_000;
/// Most keys in one mapping.
const MAX_KEYS: usize = 10_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Yaml,
    /// Where it begins.
    pub at: At,
}

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    /// `null`, `~` or nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a point.
    Float(f64),
    /// Text.
    Str(Box<str>),
    /// `!function module.name`: Python code outside the file.
    Function(Box<str>),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order written; of equal keys the last value counts.
    Map(Vec<(Node, Node)>),
}

/// Why a text is not YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Where.
    pub at: At,
    /// What is wrong.
    pub message: String,
}

impl Yaml {
    /// What kind of value it is, in a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Str(_) => "a text",
            Self::Function(_) => "a !function",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// As JSON, for digests: a function as `{"!function": "name"}`, keys as texts, NaN and infinities as texts.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Int(i) => (*i).into(),
            Self::Float(f) if f.is_finite() => (*f).into(),
            Self::Float(f) => f.to_string().into(),
            Self::Str(s) => (**s).into(),
            Self::Function(name) => serde_json::json!({ "!function": **name }),
            Self::Seq(items) => items.iter().map(|n| n.value.to_json()).collect(),
            Self::Map(entries) => {
                Value::Object(entries.iter().map(|(k, v)| (k.value.key_text(), v.value.to_json())).collect())
            }
        }
    }

    /// A mapping's key as text: `True`, `1` and so on for keys that are no texts.
    pub fn key_text(&self) -> String {
        match self {
            Self::Null => "None".to_owned(),
            Self::Bool(b) => if *b { "True" } else { "False" }.to_owned(),
            Self::Int(i) => i.to_string(),
            Self::Float(f) => f.to_string(),
            Self::Str(s) | Self::Function(s) => s.to_string(),
            Self::Seq(_) | Self::Map(_) => self.to_json().to_string(),
        }
    }

    /// The text, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            _ => None,
        }
    }
}

impl Node {
    /// The value of a key, when this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Yaml::Map(entries) => entries.iter().find(|(k, _)| k.value.as_str() == Some(key)).map(|(_, v)| v),
            _ => None,
        }
    }
}

/// Reads the first document of a text; an empty text is [`Yaml::Null`].
///
/// # Errors
/// When the text is not YAML, has a tag other than `!function`, refers to an anchor that is not there, or is nested
/// or expanded beyond bounds.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let options = granit_parser::options! { emit_comments: false, block_scalar_eof_without_line_feed: true };
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: Vec::new(),
        nodes: 0,
        depth: 0,
    };
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(Node { value: Yaml::Null, at: at(span) }),
            event => return builder.node(event, span),
        }
    }
}

fn at(span: Span) -> At {
    at_marker(&span.start)
}

fn at_marker(marker: &granit_parser::Marker) -> At {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At { line: number(marker.line().max(1)), column: number(marker.col()).saturating_add(1) }
}

fn error(span: Span, message: impl Into<String>) -> YamlError {
    YamlError { at: at(span), message: message.into() }
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: Vec<(usize, Node, usize)>,
    nodes: usize,
    depth: usize,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(e)) => Err(YamlError { at: at_marker(e.marker()), message: e.info() }),
            None => {
                Err(YamlError { at: At { line: 1, column: 1 }, message: "the text ends too early".into() })
            }
        }
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), YamlError> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(error(span, format!("more than {MAX_NODES} values, counting aliases")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node, YamlError> {
        let before = self.nodes;
        self.count(1, span)?;
        let (value, anchor) = match event {
            Event::Alias(id) => {
                let Some((_, node, nodes)) = self.anchors.iter().find(|(known, ..)| *known == id) else {
                    return Err(error(span, "this alias refers to itself"));
                };
                let (node, nodes) = (node.clone(), *nodes);
                self.count(nodes, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", span)?;
                (self.sequence(span)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "map", span)?;
                (self.mapping(span)?, anchor)
            }
            _ => return Err(error(span, "a value is missing here")),
        };
        let node = Node { value, at: at(span) };
        if anchor != 0 {
            self.anchors.push((anchor, node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn enter(&mut self, span: Span) -> Result<(), YamlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error(span, format!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(())
    }

    fn sequence(&mut self, span: Span) -> Result<Yaml, YamlError> {
        self.enter(span)?;
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                self.depth -= 1;
                return Ok(Yaml::Seq(items));
            }
            items.push(self.node(event, span)?);
        }
    }

    fn mapping(&mut self, span: Span) -> Result<Yaml, YamlError> {
        self.enter(span)?;
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                self.depth -= 1;
                merge(&mut entries, merged);
                return Ok(Yaml::Map(entries));
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            if is_merge {
                match value.value {
                    Yaml::Map(_) => merged.push(value),
                    Yaml::Seq(items) => merged.extend(items),
                    _ => return Err(error(span, "`<<` needs a mapping or a list of mappings")),
                }
            } else if let Some(known) = entries.iter_mut().find(|(k, _)| k.value == key.value) {
                *known = (key, value);
            } else if entries.len() < MAX_KEYS {
                entries.push((key, value));
            } else {
                return Err(error(span, format!("more than {MAX_KEYS} keys in one mapping")));
            }
        }
    }
}

/// Adds the entries of `<<` mappings whose keys are not there yet; earlier mappings win, as in YAML 1.1.
fn merge(entries: &mut Vec<(Node, Node)>, merged: Vec<Node>) {
    for node in merged {
        let Yaml::Map(more) = node.value else { continue };
        for (key, value) in more {
            if !entries.iter().any(|(k, _)| k.value == key.value) {
                entries.push((key, value));
            }
        }
    }
}

fn collection_tag(tag: Option<&granit_parser::Tag>, kind: &str, span: Span) -> Result<(), YamlError> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(kind) => Err(unknown_tag(tag, span)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &granit_parser::Tag, span: Span) -> YamlError {
    error(span, format!("tag `{}` is not known; only `!function` is", tag.original()))
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&granit_parser::Tag>,
    span: Span,
) -> Result<Yaml, YamlError> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { resolve(text) } else { Yaml::Str(text.into()) });
    };
    if tag.handle() == "!" && tag.suffix() == "function" {
        return Ok(Yaml::Function(text.into()));
    }
    let core = |name: &str| tag.is_yaml_core_schema_tag(name);
    let resolved = resolve(text);
    match &resolved {
        _ if core("str") || tag.original() == "!" => Ok(Yaml::Str(text.into())),
        Yaml::Null if core("null") => Ok(resolved),
        Yaml::Bool(_) if core("bool") => Ok(resolved),
        Yaml::Int(_) if core("int") => Ok(resolved),
        Yaml::Float(_) if core("float") => Ok(resolved),
        #[expect(clippy::cast_precision_loss, reason = "what `!!float 3` asks for")]
        Yaml::Int(i) if core("float") => Ok(Yaml::Float(*i as f64)),
        _ if tag.is_yaml_core_schema() => {
            Err(error(span, format!("`{text}` does not fit its tag `{}`", tag.original())))
        }
        _ => Err(unknown_tag(tag, span)),
    }
}

/// What a plain scalar means in YAML 1.1, as PyYAML reads it. Dates stay texts.
fn resolve(text: &str) -> Yaml {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Yaml::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Yaml::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Yaml::Bool(false),
        _ => {}
    }
    let starts_like_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if !starts_like_number {
        return Yaml::Str(text.into());
    }
    int(text)
        .map(Yaml::Int)
        .or_else(|| float(text).map(Yaml::Float))
        .unwrap_or_else(|| Yaml::Str(text.into()))
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn int(text: &str) -> Option<i64> {
    let (negative, body) = sign(text);
    let digits = |body: &str, radix: u32| {
        let plain: String = body.chars().filter(|c| *c != '_').collect();
        if plain.is_empty() || plain.starts_with(['+', '-']) {
            return None;
        }
        i64::from_str_radix(&plain, radix).ok()
    };
    let value = if let Some(binary) = body.strip_prefix("0b") {
        digits(binary, 2)
    } else if let Some(hex) = body.strip_prefix("0x") {
        digits(hex, 16)
    } else if body == "0" {
        Some(0)
    } else if let Some(octal) = body.strip_prefix('0') {
        digits(octal, 8)
    } else if body.contains(':') {
        sexagesimal(body)
    } else if body.starts_with(|c: char| c.is_ascii_digit()) {
        digits(body, 10)
    } else {
        None
    }?;
    Some(if negative { -value } else { value })
}

/// `1:30` is ninety.
fn sexagesimal(body: &str) -> Option<i64> {
    let mut total: i64 = 0;
    for (i, part) in body.split(':').enumerate() {
        let value: i64 = part.parse().ok().filter(|v| *v >= 0 && !part.starts_with('+'))?;
        if i > 0 && (value > 59 || part.len() > 2) {
            return None;
        }
        total = total.checked_mul(60)?.checked_add(value)?;
    }
    Some(total)
}

/// A float needs a point and a signed exponent in YAML 1.1: `1e5` is a text.
fn float(text: &str) -> Option<f64> {
    let (negative, body) = sign(text);
    let value = match body {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => f64::NAN,
        _ => {
            let plain: String = body.chars().filter(|c| *c != '_').collect();
            let (mantissa, exponent) = match plain.split_once(['e', 'E']) {
                Some((mantissa, exponent)) => (mantissa, Some(exponent)),
                None => (plain.as_str(), None),
            };
            let (whole, fraction) = mantissa.split_once('.')?;
            let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
            let signed = exponent.is_none_or(|e| {
                e.strip_prefix(['+', '-']).is_some_and(|digits| !digits.is_empty() && all_digits(digits))
            });
            if !signed || !all_digits(whole) || !all_digits(fraction) || mantissa == "." {
                return None;
            }
            plain.parse().ok()?
        }
    };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Yaml {
        parse(text).unwrap().value
    }

    #[test]
    fn plain_scalars_mean_what_pyyaml_says() {
        for (text, expected) in [
            ("yes", Yaml::Bool(true)),
            ("Off", Yaml::Bool(false)),
            ("y", Yaml::Str("y".into())),
            ("~", Yaml::Null),
            ("010", Yaml::Int(8)),
            ("0x1F", Yaml::Int(31)),
            ("1_000", Yaml::Int(1000)),
            ("-0", Yaml::Int(0)),
            ("1:30", Yaml::Int(90)),
            ("089", Yaml::Str("089".into())),
            ("1e5", Yaml::Str("1e5".into())),
            ("1.5e+3", Yaml::Float(1500.0)),
            ("1.", Yaml::Float(1.0)),
            (".5", Yaml::Float(0.5)),
            ("-.inf", Yaml::Float(f64::NEG_INFINITY)),
            ("-", Yaml::Str("-".into())),
            (".", Yaml::Str(".".into())),
            ("'010'", Yaml::Str("010".into())),
            ("2024-01-01", Yaml::Str("2024-01-01".into())),
            ("!function utils.f", Yaml::Function("utils.f".into())),
            ("!!str 12", Yaml::Str("12".into())),
        ] {
            let text = if text == "-" { "'-'" } else { text };
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn places_are_kept() {
        let root = parse("a: 1\nb:\n  - x\n  - é: [1, 2]\n").unwrap();
        let b = root.get("b").unwrap();
        let Yaml::Seq(items) = &b.value else { panic!("{b:?}") };
        assert_eq!(items[1].get("é").unwrap().at, At { line: 4, column: 8 });
    }

    #[test]
    fn anchors_merge_keys_and_repeated_keys() {
        let root = parse("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\ny: 1\ny: 2\n").unwrap();
        assert_eq!(root.get("use").unwrap().value.to_json(), serde_json::json!({"x": 1, "y": 3}));
        assert_eq!(root.get("y").unwrap().value, Yaml::Int(2));
    }

    #[test]
    fn bombs_and_bad_tags_are_refused() {
        let mut bomb = String::from("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(parse(&bomb).unwrap_err().message.contains("counting aliases"));
        assert!(parse(&"[".repeat(200)).is_err());
        assert!(parse("a: !!python/object:os.system x").unwrap_err().message.contains("not known"));
        assert_eq!(parse("a: b: c").unwrap_err().at.line, 1);
        assert!(parse("a: &x [*x]").is_err());
    }
    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

        #[test]
        fn no_text_makes_the_reader_panic(text in r#"[a-c:\-?\[\]{}&*!|>'"%@`, \n\t#~0-9.éß]{0,80}"#, any in ".{0,80}") {
            let _ = (parse(&text), parse(&any));
        }
    }
}

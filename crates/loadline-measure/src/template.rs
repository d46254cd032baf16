//! Prompt templates: jinja2 as lm_eval sets it up (undefined names are errors, a last newline stays), with Python's
//! methods on texts, lists and dicts.

use std::borrow::Cow;

use loadline_core::suggest::nearest;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use minijinja_contrib::pycompat;

use crate::python::{is_space, regex::Regex};

/// Work one rendering may do, in instructions or 64-byte pieces of text: far more than a prompt needs, and an end
/// to a template that loops.
const FUEL: u64 = 20_000_000;

/// The templates of a task, compiled once, by name.
pub struct Templates {
    environment: Environment<'static>,
}

/// Why a template cannot be compiled or filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong, naming the variable that is not there.
    pub message: String,
    /// The nearest column, where a variable is not there.
    pub hint: Option<String>,
}

impl Default for Templates {
    fn default() -> Self {
        Self::new()
    }
}

impl Templates {
    /// No templates yet.
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(method);
        environment.set_formatter(|out, _, value| {
            if value.is_undefined() {
                return Err(Error::from(ErrorKind::UndefinedError));
            }
            out.write_str(&text(value)).map_err(Error::from)
        });
        environment.set_fuel(Some(FUEL));
        environment.set_debug(true);
        environment.add_filter("string", |value: &Value| text(value).into_owned());
        environment.add_filter("regex_replace", regex_replace);
        Self { environment }
    }

    /// Compiles a template under a name.
    ///
    /// # Errors
    /// When it is no template; the message has the line within it.
    pub fn add(&mut self, name: &'static str, source: &str) -> Result<(), TemplateError> {
        self.environment.add_template_owned(name, source.to_owned()).map_err(|e| syntax_error(&e))
    }

    /// Whether a text compiles as a template.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, source: &str) -> Result<(), TemplateError> {
        // A text without braces is itself.
        if !source.contains('{') {
            return Ok(());
        }
        Environment::empty()
            .template_from_named_str("check", source)
            .map(drop)
            .map_err(|e| syntax_error(&e))?;
        Ok(())
    }

    /// Fills a template in with a row.
    ///
    /// # Errors
    /// When a name in it is no column of the row, or an operation does not fit its values.
    pub fn render(&self, name: &str, row: &Value) -> Result<String, TemplateError> {
        let template = self
            .environment
            .get_template(name)
            .map_err(|e| TemplateError { message: e.to_string(), hint: None })?;
        template.render(row.clone()).map_err(|e| {
            let missing = if e.kind() == ErrorKind::UndefinedError {
                missing(&template.undeclared_variables(false), row)
            } else {
                Vec::new()
            };
            render_error(&e, &missing, row)
        })
    }
}

/// The columns of a row, in order.
pub fn columns(row: &Value) -> Vec<String> {
    row.try_iter().map(|keys| keys.map(|k| k.to_string()).collect()).unwrap_or_default()
}

fn missing(used: &std::collections::HashSet<String>, row: &Value) -> Vec<String> {
    let columns = columns(row);
    let builtin = ["range", "dict", "namespace", "loop", "debug"];
    let mut missing: Vec<String> = used
        .iter()
        .filter(|name| !columns.contains(name) && !builtin.contains(&name.as_str()))
        .cloned()
        .collect();
    missing.sort();
    missing
}

fn syntax_error(error: &Error) -> TemplateError {
    let line = error.line().map(|line| format!(" (line {line} of the template)")).unwrap_or_default();
    TemplateError { message: format!("{}{line}", detail(error)), hint: None }
}

fn render_error(error: &Error, missing: &[String], row: &Value) -> TemplateError {
    let source = error.template_source().zip(error.range()).and_then(|(source, range)| source.get(range));
    let what =
        source.map(|s| format!(" at `{}`", loadline_core::untrusted::one_line(s, 60))).unwrap_or_default();
    let columns = columns(row);
    let list = loadline_core::untrusted::one_line(&columns.join(", "), 300);
    match missing {
        [] => TemplateError { message: format!("{}{what}", detail(error)), hint: None },
        names => {
            let names_text = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            let meant = names.iter().find_map(|n| nearest(n, columns.iter().map(String::as_str)));
            TemplateError {
                message: format!("{names_text} is not a column (columns: {list})"),
                hint: meant.map(|m| format!("did you mean `{m}`?")),
            }
        }
    }
}

fn detail(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::UndefinedError, None) => "a value that is not there".to_owned(),
        (ErrorKind::OutOfFuel, _) => "the template does too much work".to_owned(),
        (kind, None) => kind.to_string(),
        (ErrorKind::SyntaxError, Some(detail)) => format!("template syntax: {detail}"),
        (_, Some(detail)) => detail.to_owned(),
    }
}

/// `str(value)` in Python.
pub fn text(value: &Value) -> Cow<'_, str> {
    if let Some(text) = value.as_str() {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    repr(value, &mut out);
    Cow::Owned(out)
}

/// `repr(value)` in Python.
fn repr(value: &Value, out: &mut String) {
    let items = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => out.push_str(&float_text(number)),
            Err(_) => out.push_str(&value.to_string()),
        },
        ValueKind::String => out.push_str(&format!("{value:?}")),
        ValueKind::Seq if value.downcast_object_ref::<Tuple>().is_none() => {
            out.push('[');
            for (i, item) in items().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                repr(&item, out);
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in items().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                repr(&key, out);
                out.push_str(": ");
                repr(&value.get_item(&key).unwrap_or_default(), out);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

/// `repr(float)`: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on.
fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    let text = number.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// Python's methods that `pycompat` lacks or has with Rust's idea of whitespace.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "strip" | "lstrip" | "rstrip") => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            let drop = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
            let text = if name == "rstrip" { text } else { text.trim_start_matches(drop) };
            let text = if name == "lstrip" { text } else { text.trim_end_matches(drop) };
            return Ok(Value::from(text));
        }
        (Some(text), "index" | "rindex") => {
            let (what,): (&str,) = from_args(args)?;
            let at = if name == "index" { text.find(what) } else { text.rfind(what) };
            let at = at.ok_or_else(|| invalid("substring not found"))?;
            return Ok(Value::from(text[..at].chars().count()));
        }
        (Some(text), "isdigit") => {
            let () = from_args(args)?;
            return Ok(Value::from(
                !text.is_empty() && text.chars().all(|c| c.is_numeric() && c.is_ascii_digit() || is_digit(c)),
            ));
        }
        (Some(text), "split") if args.is_empty() => {
            return Ok(text.split(is_space).filter(|part| !part.is_empty()).map(Value::from).collect());
        }
        (Some(text), "removeprefix" | "removesuffix") => {
            let (affix,): (&str,) = from_args(args)?;
            let cut =
                if name == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            return Ok(Value::from(cut.unwrap_or(text)));
        }
        (None, "index") if value.kind() == ValueKind::Seq => {
            let (what,): (&Value,) = from_args(args)?;
            let at = value.try_iter()?.position(|item| item == *what);
            return at.map(Value::from).ok_or_else(|| invalid(&format!("{what} is not in the list")));
        }
        _ => {}
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

/// Superscripts and the like are digits to `str.isdigit()`; so are the decimal digits of every script.
fn is_digit(c: char) -> bool {
    c.is_numeric() && !c.is_alphabetic() && !matches!(c, '¼'..='¾' | '⅐'..='↉')
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

/// `re.sub(pattern, with, text)`, the one filter that lm_eval adds.
fn regex_replace(text: &str, pattern: &str, with: &str, count: Option<u32>) -> Result<String, Error> {
    if count.is_some_and(|c| c > 0) || with.contains('\\') {
        return Err(invalid("regex_replace with a count or a backslash in the replacement is not supported"));
    }
    let regex = Regex::new(pattern).map_err(|e| invalid(&e))?;
    Ok(regex.replace_all(text, with).map_err(|e| invalid(&e))?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, row: &str) -> Result<String, TemplateError> {
        let mut templates = Templates::new();
        templates.add("t", source)?;
        templates.render("t", &serde_json::from_str(row).unwrap())
    }

    #[test]
    fn values_print_as_python_prints_them() {
        let data = r#"{"t": true, "n": null, "f": 1.0, "big": 1e16, "small": 0.00001,
            "l": ["a", 1, null, "it's"], "d": {"b": 1, "a": [true]}, "s": "x"}"#;
        for (source, expected) in [
            ("{{t}} {{n}} {{f}} {{big}} {{small}}", "True None 1.0 1e+16 1e-05"),
            ("{{l}}", "['a', 1, None, \"it's\"]"),
            ("{{d}}", "{'b': 1, 'a': [True]}"),
            ("{{ [big, {'x': small}, (f, 1)] }}", "[1e+16, {'x': 1e-05}, (1.0, 1)]"),
            ("{{l|join(', ')}}", "a, 1, None, it's"),
            ("{{f|string + s}}", "1.0x"),
            ("{{ 'a' ~ t ~ 1 }}", "aTrue1"),
            ("{{ l[-1] }}{{ l[0:2] }}", "it's['a', 1]"),
            ("line\n", "line\n"),
            ("{% if s == 'x' %}yes{% endif %}\n\n", "yes\n\n"),
            ("{{ [1,2].index(2) }}{{ 'abc'.index('c') }}", "12"),
            ("{{ ' \u{a0}x '.strip() }}|{{ 'xxa'.lstrip('x') }}", "x|a"),
            ("{{ 'a  b\tc'.split() }}", "['a', 'b', 'c']"),
            ("{{ 'a,b'.split(',')[1].capitalize() }}", "B"),
            ("{{ d.items()|list }}", "[('b', 1), ('a', [True])]"),
            ("{{ s|regex_replace('x', 'y') }}", "y"),
            ("{{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ 'a' * 3 }}", "3 3.5 8 aaa"),
            ("{% for i in l %}{{ loop.index }}{% endfor %}", "1234"),
            ("{{ 'yes' if t else 'no' }}", "yes"),
        ] {
            assert_eq!(render(source, data).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let data = r#"{"question": "q", "answer": ["a"]}"#;
        let error = render("{{ qestion }}", data).unwrap_err();
        assert_eq!(error.message, "`qestion` is not a column (columns: question, answer)");
        assert_eq!(error.hint.as_deref(), Some("did you mean `question`?"));
        let error = render("{{ answer[3] }}", data).unwrap_err();
        assert!(error.message.contains("answer[3]"), "{error:?}");
        let error = render("{{ ['b'].index(question) }}", data).unwrap_err();
        assert!(error.message.starts_with("q is not in the list"), "{error:?}");
        let error = render("a\n{{ question", data).unwrap_err();
        assert!(error.message.contains("template syntax") && error.message.contains("line 2"), "{error:?}");
    }

    #[test]
    fn a_template_that_loops_ends() {
        let nested = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
        let error = render(nested, "{}").unwrap_err();
        assert!(error.message.starts_with("the template does too much work"), "{error:?}");
    }
}

//! `ast.literal_eval`: lists, tuples, dicts, texts and numbers as Python writes them.

use minijinja::Value;

/// Deepest nesting.
const MAX_DEPTH: usize = 64;

/// Reads one literal. Tuples and sets become lists.
///
/// # Errors
/// When the text is no literal; says what was expected and at which character.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    // Python's own parser takes leading spaces and tabs off before it evaluates.
    parser.skip();
    let value = parser.tuple_or_value()?;
    parser.skip();
    if parser.at < text.len() {
        return Err(parser.expected("the end"));
    }
    Ok(value)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expected(&self, what: &str) -> String {
        let column = self.text[..self.at].chars().count() + 1;
        format!("expected {what} at character {column}")
    }

    /// `1, 2` without brackets is a tuple.
    fn tuple_or_value(&mut self) -> Result<Value, String> {
        let first = self.value()?;
        if !self.eat(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        self.skip();
        while self.at < self.text.len() {
            items.push(self.value()?);
            if !self.eat(",") {
                break;
            }
            self.skip();
        }
        Ok(Value::from(items))
    }

    fn value(&mut self) -> Result<Value, String> {
        self.skip();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}"));
        }
        let value = match self.peek() {
            Some('[') => self.items('[', ']').map(Value::from),
            Some('(') => self.parenthesis(),
            Some('{') => self.braces(),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(),
            _ if self.string_start().is_some() => self.strings(),
            _ => self.name(),
        };
        self.depth -= 1;
        value
    }

    fn items(&mut self, open: char, close: char) -> Result<Vec<Value>, String> {
        self.at += open.len_utf8();
        let close = close.to_string();
        let mut items = Vec::new();
        while !self.eat(&close) {
            items.push(self.value()?);
            if !self.eat(",") {
                if self.eat(&close) {
                    break;
                }
                return Err(self.expected(&format!("`,` or `{close}`")));
            }
        }
        Ok(items)
    }

    /// `(1)` is one, `(1,)` is a tuple.
    fn parenthesis(&mut self) -> Result<Value, String> {
        let start = self.at;
        let items = self.items('(', ')')?;
        let comma = self.text[start..self.at - 1].trim_end().ends_with(',');
        match <[Value; 1]>::try_from(items) {
            Ok([only]) if !comma => Ok(only),
            Ok(one) => Ok(Value::from(one.to_vec())),
            Err(items) => Ok(Value::from(items)),
        }
    }

    fn braces(&mut self) -> Result<Value, String> {
        self.at += 1;
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        let mut items: Vec<Value> = Vec::new();
        while !self.eat("}") {
            let key = self.value()?;
            if items.is_empty() && self.eat(":") {
                pairs.push((key, self.value()?));
            } else {
                items.push(key);
            }
            if !self.eat(",") {
                if self.eat("}") {
                    break;
                }
                return Err(self.expected("`,` or `}`"));
            }
        }
        if !items.is_empty() && !pairs.is_empty() {
            return Err(self.expected("`key: value` throughout"));
        }
        Ok(if items.is_empty() { Value::from_pairs(pairs) } else { Value::from(items) })
    }

    fn number(&mut self) -> Result<Value, String> {
        let length = self
            .rest()
            .char_indices()
            .find(|(i, c)| {
                let exponent = *i > 0 && self.rest()[..*i].ends_with(['e', 'E']);
                !(c.is_ascii_alphanumeric()
                    || matches!(c, '.' | '_')
                    || (matches!(c, '-' | '+') && (*i == 0 || exponent)))
            })
            .map_or(self.rest().len(), |(i, _)| i);
        let text = self.rest()[..length].replace('_', "");
        let digits = text.trim_start_matches(['-', '+']);
        let octal_like =
            digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        let value = match text.parse::<i64>() {
            Ok(int) if !octal_like => Some(Value::from(int)),
            _ if octal_like || digits.starts_with(|c: char| c.is_ascii_alphabetic()) => None,
            _ => text.parse::<f64>().ok().map(Value::from),
        };
        let value = value.ok_or_else(|| self.expected("a number"))?;
        self.at += length;
        Ok(value)
    }

    fn name(&mut self) -> Result<Value, String> {
        for (name, value) in
            [("None", Value::from(())), ("True", Value::from(true)), ("False", Value::from(false))]
        {
            let rest = self.rest();
            if rest.starts_with(name)
                && !rest[name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
            {
                self.at += name.len();
                return Ok(value);
            }
        }
        Err(self.expected("a value"))
    }

    /// Length of the prefix (`r`, `u`, …) before a quote here, when a text begins here.
    fn string_start(&self) -> Option<usize> {
        let prefix = self.rest().find(['"', '\''])?;
        let letters = &self.rest()[..prefix];
        matches!(letters.to_ascii_lowercase().as_str(), "" | "r" | "u").then_some(prefix)
    }

    /// Texts that stand side by side are one.
    fn strings(&mut self) -> Result<Value, String> {
        let mut out = String::new();
        while let Some(prefix) = self.string_start() {
            let raw = self.rest()[..prefix].eq_ignore_ascii_case("r");
            self.at += prefix;
            self.string(raw, &mut out)?;
            self.skip();
        }
        Ok(Value::from(out))
    }

    fn string(&mut self, raw: bool, out: &mut String) -> Result<(), String> {
        let quote = &self.rest()[..1];
        let triple = quote.repeat(3);
        let end = if self.rest().starts_with(&triple) { triple.as_str() } else { quote };
        self.at += end.len();
        loop {
            if self.rest().starts_with(end) {
                self.at += end.len();
                return Ok(());
            }
            match self.peek() {
                None => return Err(self.expected(&format!("the closing {quote}"))),
                Some('\n') if end.len() == 1 => {
                    return Err(self.expected(&format!("the closing {quote} on this line")));
                }
                Some('\\') if raw => {
                    out.push('\\');
                    self.at += 1;
                    if let Some(c) = self.peek() {
                        out.push(c);
                        self.at += c.len_utf8();
                    }
                }
                Some('\\') => self.escape(out)?,
                Some(c) => {
                    out.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        self.at += 1;
        let Some(c) = self.peek() else { return Err(self.expected("a character after `\\`")) };
        self.at += c.len_utf8();
        let simple = match c {
            '\n' => return Ok(()),
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' | '\'' | '"' => c,
            'x' => return self.code(2, out),
            'u' => return self.code(4, out),
            'U' => return self.code(8, out),
            '0'..='7' => {
                self.at -= 1;
                let length = self.rest().bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let code = u32::from_str_radix(&self.rest()[..length], 8).unwrap_or(0);
                self.at += length;
                char::from_u32(code).unwrap_or('\u{fffd}')
            }
            other => {
                out.push('\\');
                other
            }
        };
        out.push(simple);
        Ok(())
    }

    fn code(&mut self, digits: usize, out: &mut String) -> Result<(), String> {
        let code = self.rest().get(..digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let c = code
            .and_then(char::from_u32)
            .ok_or_else(|| self.expected(&format!("{digits} hexadecimal digits")))?;
        out.push(c);
        self.at += digits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_python_reads() {
        for (text, expected) in [
            ("['a', \"b's\", 'c\\'d']", "['a', \"b's\", \"c'd\"]"),
            (" [1, -2, 3.5, 1e3, None, True]", "[1, -2, 3.5, 1000.0, None, True]"),
            ("('x', 'y',)", "['x', 'y']"),
            ("('x')", "x"),
            ("('x',)", "['x']"),
            ("1, 2", "[1, 2]"),
            ("{'a': [1], 'b': {}}", "{'a': [1], 'b': {}}"),
            ("'a' \"b\"", "ab"),
            ("'\\x41\\u00e9\\n\\q\\101'", "Aé\n\\qA"),
            ("r'\\d'", "\\d"),
            ("'''two\nlines'''", "two\nlines"),
            ("[\n'a',\n]", "['a']"),
            ("[]", "[]"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_python_refuses() {
        for text in [
            "",
            "[1, 2",
            "['a' 1]",
            "foo",
            "[a]",
            "007",
            "'open",
            "1 2",
            "__import__('os')",
            "[1]]",
            "'a\nb'",
            "inf",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"[".repeat(1000)).is_err());
        assert_eq!(parse("['a' 1]").unwrap_err(), "expected `,` or `]` at character 6");
    }
    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in r#"[\[\](){}'",:\\ruxU0-9eE.+_\-aNonéß \n]{0,40}"#) {
            let _ = parse(&text);
        }
    }
}

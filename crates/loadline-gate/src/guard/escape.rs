//! JSON that a model writes into a string, such as the arguments of a tool, without its escapes.

/// Takes the escapes out of JSON that comes piece by piece, and leaves everything else as it is.
#[derive(Debug, Default)]
pub(crate) struct Unescape {
    state: Escape,
    /// The first half of a character that is written as two.
    high: Option<u32>,
}

#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    Begun,
    Hex {
        digits: u32,
        value: u32,
    },
}

impl Unescape {
    /// The next piece without its escapes; of one that has not come to its end, nothing yet.
    pub(crate) fn feed(&mut self, piece: &str) -> String {
        let mut plain = String::with_capacity(piece.len());
        for c in piece.chars() {
            match self.state {
                Escape::None if c == '\\' => self.state = Escape::Begun,
                Escape::None => {
                    self.high = None;
                    plain.push(c);
                }
                Escape::Begun if c == 'u' => self.state = Escape::Hex { digits: 0, value: 0 },
                Escape::Begun => {
                    (self.state, self.high) = (Escape::None, None);
                    plain.push(match c {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        other => other,
                    });
                }
                Escape::Hex { digits, value } => {
                    let value = value * 16 + c.to_digit(16).unwrap_or_default();
                    self.state = Escape::Hex { digits: digits + 1, value };
                    if digits == 3 {
                        self.state = Escape::None;
                        plain.extend(self.unit(value));
                    }
                }
            }
        }
        plain
    }

    /// The character that ends with this half or whole one.
    fn unit(&mut self, value: u32) -> Option<char> {
        match (self.high.take(), value) {
            (_, 0xD800..=0xDBFF) => {
                self.high = Some(value);
                None
            }
            (Some(high), 0xDC00..=0xDFFF) => {
                char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (value - 0xDC00))
            }
            _ => char::from_u32(value),
        }
    }

    /// Whether an escape has begun that is not whole.
    pub(crate) fn is_inside(&self) -> bool {
        !matches!(self.state, Escape::None) || self.high.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_out_across_the_borders_of_pieces() {
        let json = r#"{"a\n":"\u0066\uD83D\uDE00\"\\ \uD83D!"}"#;
        let plain = "{\"a\n\":\"f\u{1F600}\"\\ !\"}";
        for size in [1, 2, 3, 5, json.len()] {
            let mut unescape = Unescape::default();
            let pieces = json.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap());
            assert_eq!(pieces.map(|piece| unescape.feed(piece)).collect::<String>(), plain, "{size}");
            assert!(!unescape.is_inside());
        }
        let mut unescape = Unescape::default();
        assert_eq!((unescape.feed(r"x\u00"), unescape.is_inside()), ("x".to_owned(), true));
    }
}

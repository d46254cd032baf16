//! Bytes as visible characters: how byte-level vocabularies write any byte as text.
//!
//! The 188 bytes that are visible in Latin-1 stand for themselves, the other 68 are `U+0100` onwards in order.

/// The character for a byte.
fn to_char(byte: u8) -> char {
    if is_visible(byte) {
        return char::from(byte);
    }
    let hidden = (0..byte).filter(|other| !is_visible(*other)).count() as u32;
    char::from_u32(256 + hidden).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// Bytes as the vocabulary writes them.
pub(super) fn to_chars(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| to_char(*byte)).collect()
}

/// What the vocabulary wrote as bytes; a character that stands for no byte is taken as it is.
pub(super) fn from_chars(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        let byte = match u32::from(c) {
            code @ 0..=0xff if is_visible(code as u8) => Some(code as u8),
            code @ 0x100..=0x143 => {
                (0..=255u8).filter(|byte| !is_visible(*byte)).nth((code - 0x100) as usize)
            }
            _ => None,
        };
        match byte {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        let all: Vec<u8> = (0..=255).collect();
        let text = to_chars(&all);
        assert_eq!(from_chars(&text), all);
        assert!(text.chars().all(|c| !c.is_whitespace() && !c.is_control()));
        assert_eq!(to_chars(b" \n"), "\u{120}\u{10a}");
    }
}

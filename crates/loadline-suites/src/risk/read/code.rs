//! Codes such as `KP-4417`.

/// The words of a text, in which codes are looked for.
pub(crate) struct Tokens(Vec<String>);

impl Tokens {
    /// The tokens of a folded text.
    pub(crate) fn of(text: &str) -> Self {
        Self(super::words(text).collect())
    }

    /// Whether the text names this code: with its hyphen, another mark, a space, or nothing between its halves.
    pub(crate) fn names(&self, code: &str) -> bool {
        let halves: Vec<String> = super::words(code).collect();
        let whole = halves.concat();
        self.0.contains(&whole) || self.0.windows(halves.len().max(1)).any(|window| window == halves)
    }
}

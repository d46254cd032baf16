//! Ids as people write them: the shortest beginning that tells runs apart.

use loadline_core::RunId;

/// Fewest digits of a short id.
const LEAST: usize = 4;

/// The runs of a store, each named by the shortest beginning of its id (4 digits or more) that no other run has.
#[derive(Clone, Debug, Default)]
pub struct ShortIds {
    /// In order.
    runs: Vec<RunId>,
}

impl ShortIds {
    pub(crate) fn new(mut runs: Vec<RunId>) -> Self {
        runs.sort_unstable();
        Self { runs }
    }

    /// How a run is named beside the others; it need not be one of them.
    pub fn of(&self, run: &RunId) -> String {
        let id = run.to_string();
        let at = self.runs.partition_point(|other| other < run);
        // Whoever shares most with it stands next to it.
        let before = at.checked_sub(1).and_then(|at| self.runs.get(at));
        let after = self.runs.get(at..).into_iter().flatten().find(|other| *other != run);
        let shared = |other: &RunId| {
            let other = other.to_string();
            id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
        };
        let longest = [before, after].into_iter().flatten().map(shared).max().unwrap_or(0);
        id.chars().take((longest + 1).max(LEAST)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_short_as_the_others_allow() {
        let id =
            |start: &str| -> RunId { format!("{start}{}", "0".repeat(32 - start.len())).parse().unwrap() };
        let ids = ShortIds::new(vec![id("7f3b2"), id("7f3a"), id("7f3b1")]);
        let short = |start: &str| ids.of(&id(start));
        assert_eq!(short("7f3a"), "7f3a");
        assert_eq!(short("7f3b1"), "7f3b1");
        assert_eq!(short("7f3b2"), "7f3b2");
        // A run that is not in the store (another one's folder) is told apart all the same.
        assert_eq!(short("7f3b3"), "7f3b3");
        assert_eq!(short("0123"), "0123");
        assert_eq!(ShortIds::default().of(&id("7f3a")), "7f3a");
    }
}

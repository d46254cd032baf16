//! Merging neighbours, best pair first, in O(n log n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A stretch of the text, and its token where it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub start: usize,
    pub end: usize,
    pub id: Option<u32>,
}

const NONE: usize = usize::MAX;

struct Node {
    symbol: Symbol,
    previous: usize,
    next: usize,
    alive: bool,
}

/// A pair that could be merged: what it is worth, its left and right node, where it ends and what it becomes.
type Candidate = (i64, Reverse<usize>, usize, usize, u32);

/// Merges neighbours until no pair is left that `join` knows. `join` gives what a pair is worth (more goes first;
/// of equals the leftmost) and its token.
pub(super) fn merge(
    symbols: Vec<Symbol>,
    join: impl Fn(Symbol, Symbol) -> Option<(i64, u32)>,
) -> impl Iterator<Item = Symbol> {
    let last = symbols.len().wrapping_sub(1);
    let mut nodes: Vec<Node> = symbols
        .into_iter()
        .enumerate()
        .map(|(i, symbol)| Node {
            symbol,
            previous: i.wrapping_sub(1),
            next: if i == last { NONE } else { i + 1 },
            alive: true,
        })
        .collect();
    let mut heap: BinaryHeap<Candidate> = BinaryHeap::new();
    let offer = |nodes: &[Node], left: usize, right: usize, heap: &mut BinaryHeap<Candidate>| {
        let (Some(l), Some(r)) = (nodes.get(left), nodes.get(right)) else { return };
        if let Some((worth, id)) = join(l.symbol, r.symbol) {
            heap.push((worth, Reverse(left), right, r.symbol.end, id));
        }
    };
    for right in 1..nodes.len() {
        offer(&nodes, right - 1, right, &mut heap);
    }
    while let Some((_, Reverse(left), right, end, id)) = heap.pop() {
        // Either side may have been merged since the pair was offered.
        let stale = !nodes[left].alive || !nodes[right].alive || nodes[left].next != right;
        if stale || nodes[right].symbol.end != end {
            continue;
        }
        let next = nodes[right].next;
        nodes[right].alive = false;
        nodes[left].symbol.end = end;
        nodes[left].symbol.id = Some(id);
        nodes[left].next = next;
        if let Some(node) = nodes.get_mut(next) {
            node.previous = left;
        }
        offer(&nodes, nodes[left].previous, left, &mut heap);
        offer(&nodes, left, next, &mut heap);
    }
    nodes.into_iter().filter(|node| node.alive).map(|node| node.symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, known: &[&str]) -> Vec<String> {
        let symbols = (0..text.len()).map(|i| Symbol { start: i, end: i + 1, id: None }).collect();
        let join = |l: Symbol, r: Symbol| {
            let at = known.iter().position(|word| *word == &text[l.start..r.end])?;
            Some((-(at as i64), at as u32))
        };
        merge(symbols, join).map(|s| text[s.start..s.end].to_owned()).collect()
    }

    #[test]
    fn the_best_pair_goes_first_and_the_leftmost_of_equals() {
        assert_eq!(run("aaa", &["aa"]), ["aa", "a"]);
        assert_eq!(run("abc", &["bc", "ab"]), ["a", "bc"]);
        assert_eq!(run("abcd", &["ab", "cd", "abcd"]), ["abcd"]);
        assert_eq!(run("", &["aa"]), [""; 0]);
        assert_eq!(run("x", &[]), ["x"]);
    }

    #[test]
    fn a_stale_pair_is_not_merged() {
        // `bc` is taken first, so the offer of `ab` is stale although node `a` and node `b` once were neighbours.
        assert_eq!(run("abc", &["bc", "ab", "abc"]), ["abc"]);
        assert_eq!(run("abab", &["ba", "ab"]), ["a", "ba", "b"]);
    }
}

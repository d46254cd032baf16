//! Reads a move out of an answer.

use cozy_chess::util::{parse_san_move, parse_uci_move};
use cozy_chess::{Board, Move};

use super::positions::uci;
use crate::answer;

/// What an answer names as its move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A legal move, in UCI notation.
    Legal(String),
    /// Something written like a move that is not legal here.
    Illegal(String),
}

/// The move that an answer names. In a stated answer (behind a marker or in a box) the first word that is written
/// like a move counts, in a text without one the last such word. UCI (`e2e4`, `e7e8q`), standard algebraic
/// (`Nf3`, `exd5`, `O-O`, `e8=Q#`) and long algebraic notation (`Ng1-f3`) are read, with or without move number,
/// check and mate signs. Nothing is read when the name of a piece stands before the move (`knight to f3`): the
/// square alone would be read as a pawn's move.
pub(super) fn named(text: &str, board: &Board) -> Option<Named> {
    let folded = answer::fold(text);
    let is_written = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '=' | '+');
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !is_written(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let word = match answer::marked(&folded) {
        Some(stated) => {
            let words = words(&stated);
            let at = words.iter().position(|word| looks_like_move(word))?;
            if words[..at].iter().any(|word| is_piece_name(word)) {
                return None;
            }
            words[at].clone()
        }
        None => words(&folded).into_iter().rfind(|word| looks_like_move(word))?,
    };
    Some(match parse(&word, board) {
        Some(mv) => Named::Legal(uci(board, mv)),
        None => Named::Illegal(word.chars().take(12).collect()),
    })
}

fn is_piece_name(word: &str) -> bool {
    ["king", "queen", "rook", "bishop", "knight", "pawn"].iter().any(|piece| word.eq_ignore_ascii_case(piece))
}

/// The move without signs that do not matter: `Ng1-f3+` becomes `Ng1f3`, `0-0` becomes `O-O`.
fn plain(word: &str) -> String {
    let word = word.trim_end_matches(['+', '-', '=']);
    match word {
        "0-0" | "O-O" | "o-o" => "O-O".to_owned(),
        "0-0-0" | "O-O-O" | "o-o-o" => "O-O-O".to_owned(),
        _ => word.chars().filter(|c| !matches!(c, '-' | '=')).collect(),
    }
}

/// Whether a word is written like a move, legal or not.
fn looks_like_move(word: &str) -> bool {
    let word = plain(word);
    if word.starts_with("O-O") || is_uci(&word) {
        return true;
    }
    let mut rest = word.strip_suffix(['Q', 'R', 'B', 'N']).unwrap_or(&word).chars().rev();
    let on_square = |rank: Option<char>, file: Option<char>| {
        matches!(rank, Some('1'..='8')) && matches!(file, Some('a'..='h'))
    };
    if !on_square(rest.next(), rest.next()) {
        return false;
    }
    let mut rest: Vec<char> = rest.collect();
    rest.reverse();
    let mut rest = rest.as_slice();
    if let [start @ .., 'x'] = rest {
        rest = start;
    }
    if let ['K' | 'Q' | 'R' | 'B' | 'N' | 'P', end @ ..] = rest {
        rest = end;
    }
    matches!(rest, [] | ['a'..='h'] | ['1'..='8'] | ['a'..='h', '1'..='8'])
}

/// Two squares and perhaps a promotion, all small or all capital letters.
fn is_uci(word: &str) -> bool {
    let bytes = word.as_bytes();
    let squares = |files: std::ops::RangeInclusive<u8>| {
        matches!(bytes.len(), 4 | 5)
            && files.contains(&bytes[0])
            && files.contains(&bytes[2])
            && (b'1'..=b'8').contains(&bytes[1])
            && (b'1'..=b'8').contains(&bytes[3])
    };
    (squares(b'a'..=b'h') || squares(b'A'..=b'H'))
        && bytes.get(4).is_none_or(|piece| b"qrbnQRBN".contains(piece))
}

/// The legal move that a word stands for.
fn parse(word: &str, board: &Board) -> Option<Move> {
    let word = plain(word);
    if is_uci(&word) {
        let mv = parse_uci_move(board, &word.to_ascii_lowercase()).ok()?;
        return board.is_legal(mv).then_some(mv);
    }
    parse_san_move(board, &word).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, fen: &str) -> Option<Named> {
        named(text, &fen.parse().unwrap())
    }

    const OPEN: &str = "r1bqkbnr/pppp1ppp/2n5/4p3/2B1P3/5N2/PPPP1PPP/RNBQK2R w KQkq - 2 3";

    #[test]
    fn reads_moves_as_people_write_them() {
        for text in [
            "Answer: f3g5",
            "Answer: Ng5",
            "**Answer:** Ng5.",
            "Answer: 4. Ng5!",
            "Answer: 4.Ng5",
            "Answer: `f3-g5`",
            "Answer: Nf3-g5",
            "Answer: F3G5",
            "The best move is \\boxed{Ng5}",
            "I could play d3 or Nc3, but I choose Ng5",
            "Answer: Ng5+",
        ] {
            assert_eq!(read(text, OPEN), Some(Named::Legal("f3g5".into())), "{text}");
        }
        for text in ["Answer: O-O", "Answer: 0-0", "Answer: e1g1", "Answer: O-O+", "castle: O-O"] {
            assert_eq!(read(text, OPEN), Some(Named::Legal("e1g1".into())), "{text}");
        }
    }

    #[test]
    fn reads_captures_and_promotions() {
        let fen = "3k4/P7/8/8/8/2p5/1B6/4K3 w - - 0 1";
        for text in ["Answer: a8=Q+", "Answer: a8Q", "Answer: a7a8q", "Answer: a7a8=Q", "Answer: a7-a8=Q#"] {
            assert_eq!(read(text, fen), Some(Named::Legal("a7a8q".into())), "{text}");
        }
        for text in ["Answer: Bxc3", "Answer: b2c3", "Answer: Bb2xc3", "Answer: Bc3"] {
            assert_eq!(read(text, fen), Some(Named::Legal("b2c3".into())), "{text}");
        }
    }

    #[test]
    fn tells_illegal_moves_from_no_move() {
        assert_eq!(read("Answer: Qd8", OPEN), Some(Named::Illegal("Qd8".into())));
        assert_eq!(read("Answer: e1e2e3", OPEN), None);
        assert_eq!(read("Answer: O-O-O", OPEN), Some(Named::Illegal("O-O-O".into())));
        for text in ["", "Answer: I do not know.", "Answer: knight to g5", "the rook", "123"] {
            assert_eq!(read(text, OPEN), None, "{text}");
        }
    }
}

//! Positions from random legal play.

use cozy_chess::util::display_uci_move;
use cozy_chess::{Board, Color, GameStatus, Move, Piece};

use crate::stream::Stream;

/// A position and the moves that count as right in it.
pub(super) struct Position {
    pub board: Board,
    /// Never empty.
    pub right: Vec<Move>,
}

/// Most plies that are played for one item. On average 30 to 300 are, depending on the level.
const MOST_PLIES: u32 = 20_000;

/// Fewest pieces on the board for a mate in one: endings with few pieces would come up again and again.
const FEWEST_FOR_MATE: u32 = 14;

/// Plies after which a game is given up and another begun.
const LONGEST_GAME: u32 = 240;

/// Positions for the case that no game reaches what a level asks for, which [`MOST_PLIES`] makes a matter of theory:
/// a middle game for the legal moves, a back-rank mate for the mates.
const SPARE: [&str; 2] = [
    "r1bqkbnr/pppp1ppp/2n5/4p3/2B1P3/5N2/PPPP1PPP/RNBQK2R b KQkq - 3 3",
    "6k1/5ppp/8/8/8/1P6/P4PPP/3R2K1 w - - 0 1",
];

/// Plays random games until a position is what the level asks for.
pub(super) fn draw(stream: &mut Stream, level: u32) -> Position {
    let mut plies = 0;
    while plies < MOST_PLIES {
        let mut board = Board::default();
        let earliest = match level {
            1 => 60,
            2 => 16 + stream.index_u32(45),
            _ => 12 + stream.index_u32(49),
        };
        for ply in 0..LONGEST_GAME {
            plies += 1;
            let moves = legal_moves(&board);
            let too_empty = level > 3 && board.occupied().len() < FEWEST_FOR_MATE;
            if too_empty || moves.is_empty() || board.status() != GameStatus::Ongoing {
                break;
            }
            if ply >= earliest
                && let Some(right) = wanted(&board, &moves, level)
            {
                return Position { board, right };
            }
            board.play_unchecked(next(stream, &board, &moves, level));
        }
    }
    spare(level)
}

/// See [`SPARE`].
fn spare(level: u32) -> Position {
    let board: Board = SPARE[usize::from(level > 3)].parse().unwrap_or_default();
    let moves = legal_moves(&board);
    let right = if level > 3 { mates(&board, &moves) } else { moves };
    Position { board, right }
}

/// The move that is played. Where few pieces (level 1) or an open board (level 3) are wanted, every other move is a
/// capture if one is possible.
fn next(stream: &mut Stream, board: &Board, moves: &[Move], level: u32) -> Move {
    if matches!(level, 1 | 3) && stream.one_in(1, 2) {
        let theirs = board.colors(!board.side_to_move());
        let captures: Vec<Move> = moves.iter().copied().filter(|mv| theirs.has(mv.to)).collect();
        if !captures.is_empty() {
            return *stream.choose(&captures);
        }
    }
    *stream.choose(moves)
}

/// The right moves when the position is what the level asks for.
fn wanted(board: &Board, moves: &[Move], level: u32) -> Option<Vec<Move>> {
    let checked = !board.checkers().is_empty();
    let fits = match level {
        1 => board.occupied().len() <= 8 && moves.len() >= 6 && !checked,
        2 => moves.len() >= 6 && !checked,
        3 => checked && board.occupied().len() >= 12,
        _ => moves.len() >= 8,
    };
    if !fits || level <= 3 {
        return fits.then(|| moves.to_vec());
    }
    let mates = mates(board, moves);
    let hard = level == 4
        || mates.len() == 1
            && moves.len() >= 25
            && moves.iter().filter(|mv| checks(board, **mv)).count() >= 3;
    (hard && !mates.is_empty() && mates.len() + 3 <= moves.len()).then_some(mates)
}

/// All legal moves, in the order of the library: by piece, then by square.
pub(super) fn legal_moves(board: &Board) -> Vec<Move> {
    let mut moves = Vec::with_capacity(40);
    board.generate_moves(|piece_moves| {
        moves.extend(piece_moves);
        false
    });
    moves
}

/// Whether a legal move gives check.
pub(super) fn checks(board: &Board, mv: Move) -> bool {
    let mut after = board.clone();
    after.play_unchecked(mv);
    !after.checkers().is_empty()
}

/// The legal moves that give checkmate.
pub(super) fn mates(board: &Board, moves: &[Move]) -> Vec<Move> {
    let is_mate = |mv: &Move| {
        let mut after = board.clone();
        after.play_unchecked(*mv);
        !after.checkers().is_empty() && !after.generate_moves(|_| true)
    };
    moves.iter().copied().filter(is_mate).collect()
}

/// A move in UCI notation.
pub(super) fn uci(board: &Board, mv: Move) -> String {
    display_uci_move(board, mv).to_string()
}

/// The pieces of one side, in words: `king g1, queen d1, rooks a1 f1, pawns a2 b2`.
pub(super) fn pieces(board: &Board, color: Color) -> String {
    const KINDS: [(Piece, &str); 6] = [
        (Piece::King, "king"),
        (Piece::Queen, "queen"),
        (Piece::Rook, "rook"),
        (Piece::Bishop, "bishop"),
        (Piece::Knight, "knight"),
        (Piece::Pawn, "pawn"),
    ];
    let groups: Vec<String> = KINDS
        .iter()
        .filter_map(|(piece, name)| {
            let squares: Vec<String> =
                board.colored_pieces(color, *piece).into_iter().map(|square| square.to_string()).collect();
            let plural = if squares.len() == 1 { "" } else { "s" };
            (!squares.is_empty()).then(|| format!("{name}{plural} {}", squares.join(" ")))
        })
        .collect();
    groups.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spare_positions_are_what_they_should_be() {
        assert!(spare(1).right.len() > 20);
        let mate = spare(4);
        assert_eq!(mate.right.iter().map(|mv| uci(&mate.board, *mv)).collect::<Vec<_>>(), ["d1d8"]);
    }

    #[test]
    fn castling_is_written_as_the_king_moves() {
        let board: Board = "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1".parse().unwrap();
        let all: Vec<String> = legal_moves(&board).into_iter().map(|mv| uci(&board, mv)).collect();
        assert!(all.contains(&"e1g1".to_owned()) && all.contains(&"e1c1".to_owned()));
    }
}

//! Looks for the move in the position that the question shows.

use cozy_chess::util::{display_san_move, display_uci_move};
use cozy_chess::{Board, GameStatus, Move};

/// The position in a question.
pub fn board(prompt: &str) -> Board {
    let (_, rest) = prompt.split_once("(FEN): ").unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

/// All legal moves.
pub fn legal(board: &Board) -> Vec<Move> {
    let mut moves = Vec::new();
    board.generate_moves(|piece| {
        moves.extend(piece);
        false
    });
    moves
}

/// The moves that answer the question.
pub fn right(prompt: &str) -> Vec<Move> {
    let board = board(prompt);
    let mut moves = legal(&board);
    if prompt.contains("checkmate") {
        moves.retain(|mv| {
            let mut after = board.clone();
            after.play(*mv);
            after.status() == GameStatus::Won
        });
    }
    assert!(!moves.is_empty(), "{prompt}");
    moves
}

/// A move in UCI and in standard algebraic notation.
pub fn written(board: &Board, mv: Move) -> [String; 2] {
    [display_uci_move(board, mv).to_string(), display_san_move(board, mv).to_string()]
}

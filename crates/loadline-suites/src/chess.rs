//! `chess`: a legal move, and mate in one.

mod positions;
mod read;

use cozy_chess::{BitBoard, Board, Color, Move, Piece, Square};
use loadline_core::{ModelOutput, Sample, Score, Value};
use serde_json::Map;

use self::positions::{Position, checks, legal_moves, pieces, uci};
use self::read::Named;
use crate::item::{Item, exact_match, is_choice, score_choice};
use crate::seed::Seed;
use crate::stream::Stream;
use crate::suite::{About, Form, Suite};

/// A legal move, and mate in one.
pub(crate) struct Chess;

static ABOUT: About = About {
    construct: "Keeping to the rules of chess in positions that nobody has seen (levels 1 to 3), and seeing a mate \
                in one in such positions (levels 4 and 5): reading a position from text, and knowing what each \
                piece can do in it.",
    not_measured: "Playing strength, openings, endgames, planning, judgement; anything of longer variations than one \
                   move.",
    validity: "Positions come of random legal play, so they look unlike those of human games: knowledge of \
               typical positions helps little, which is meant, and a player's rating cannot be concluded. The \
               pieces are listed besides the FEN, so that reading FEN is not what fails. At levels 1 to 3 nearly any move \
               by a sensible rule is right; the level asks whether the rules are kept.",
    guesser: "generate, levels 1 to 3: draws two different squares evenly and names the move between them; levels 4 \
              and 5: draws evenly from the legal moves. choice: one of four.",
    levels: &[
        "a legal move with at most 8 pieces on the board",
        "a legal move in a middle game",
        "a legal move when in check, with at least 12 pieces on the board",
        "mate in one, with at least 14 pieces on the board",
        "the same, when only one of at least 25 legal moves mates and at least 3 give check",
    ],
};

/// Chance in the generate form, measured over 50,000 items of each level (`cargo run --release -p
/// loadline-suites --example figures -- chess-chance`).
const CHANCE: [f64; 5] = [0.00475, 0.00834, 0.00102, 0.0298, 0.0247];

impl Suite for Chess {
    fn name(&self) -> &'static str {
        "chess"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn forms(&self) -> &'static [Form] {
        &Form::ALL
    }

    fn sample(&self, seed: &Seed, form: Form, level: u32, index: u64) -> Sample {
        let item = Item::new(self, seed, level, index);
        let mut stream = item.stream("question");
        let Position { board, mut right } = positions::draw(&mut stream, item.level);
        stream.shuffle(&mut right);
        let fen = board.to_string();
        let turn = match board.side_to_move() {
            Color::White => "White",
            Color::Black => "Black",
        };
        let shown = format!(
            "Chess position (FEN): {fen}\nWhite: {}\nBlack: {}\n{turn} is to move.",
            pieces(&board, Color::White),
            pieces(&board, Color::Black)
        );
        let mut metadata = Map::new();
        metadata.insert("fen".into(), fen.into());
        match form {
            Form::Generate => {
                let task = if item.level > 3 {
                    format!("Find a move for {turn} that gives checkmate at once.")
                } else {
                    format!("Name one legal move for {turn}.")
                };
                // No move as an example: a model could copy it, and it might be right.
                let prompt = format!(
                    "{shown}\n\n{task} Think step by step. Then end with one line of the form \"Answer: MOVE\", with the \
                     move in UCI notation (the square that the piece leaves, the square that it goes to, and for a \
                     promotion the letter of the new piece) or in standard algebraic notation."
                );
                let mut sample =
                    item.generate(prompt, String::new(), if item.level > 3 { 2048 } else { 512 }, metadata);
                sample.target = right.iter().map(|mv| uci(&board, *mv)).collect();
                sample
            }
            Form::Choice => {
                let mut choices = item.stream("choices");
                let (gold, wrong, task) = if item.level > 3 {
                    (
                        right.first().copied(),
                        no_mates(&mut choices, &board, &right),
                        "Which move gives checkmate at once",
                    )
                } else {
                    let plain = right.iter().copied().find(|mv| mv.promotion.is_none());
                    (plain.or(right.first().copied()), illegal(&mut choices, &board), "Which move is legal")
                };
                let gold = gold.map(|mv| uci(&board, mv)).unwrap_or_default();
                item.choice(
                    format!("{shown}\n\nQuestion: {task} (in UCI notation)?\nAnswer:"),
                    &gold,
                    &wrong,
                    metadata,
                )
            }
        }
    }

    fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        if is_choice(sample) {
            return score_choice(sample, output);
        }
        let fen = sample.metadata.get("fen").and_then(serde_json::Value::as_str).unwrap_or_default();
        let Ok(board) = fen.parse::<Board>() else {
            let value = Value::unscored("the sample's metadata has no `fen` that is a chess position");
            return vec![Score { metric: "exact_match".into(), value, answer: None, explanation: None }];
        };
        vec![match read::named(&output.completion, &board) {
            Some(Named::Legal(mv)) => {
                let right = sample.target.contains(&mv);
                exact_match(right, Some(mv), (!right).then(|| "legal, but not checkmate".to_owned()))
            }
            Some(Named::Illegal(word)) => {
                exact_match(false, Some(word), Some("not a legal move here".to_owned()))
            }
            None => exact_match(false, None, Some("no move could be read from the answer".to_owned())),
        }]
    }

    fn chance(&self, form: Form, level: u32) -> f64 {
        let place = usize::try_from(level.saturating_sub(1)).unwrap_or_default();
        match form {
            Form::Choice => 0.25,
            Form::Generate => CHANCE[place.min(CHANCE.len() - 1)],
        }
    }
}

/// Three legal moves that do not give mate, checks first.
fn no_mates(stream: &mut Stream, board: &Board, mates: &[Move]) -> Vec<String> {
    let mut others: Vec<Move> = legal_moves(board).into_iter().filter(|mv| !mates.contains(mv)).collect();
    stream.shuffle(&mut others);
    others.sort_by_key(|mv| !checks(board, *mv));
    others.iter().take(3).map(|mv| uci(board, *mv)).collect()
}

/// Three moves that the piece could make on an empty board but not on this one.
fn illegal(stream: &mut Stream, board: &Board) -> Vec<String> {
    let legal: Vec<String> =
        legal_moves(board).into_iter().map(|mv| uci(board, mv)[..4].to_owned()).collect();
    let color = board.side_to_move();
    let mut near = Vec::new();
    let mut far = Vec::new();
    for from in board.colors(color) {
        let Some(piece) = board.piece_on(from) else { continue };
        let reach = reach(piece, color, from);
        for to in BitBoard::FULL {
            let mv = format!("{from}{to}");
            if from != to && !legal.contains(&mv) {
                if reach.has(to) { near.push(mv) } else { far.push(mv) }
            }
        }
    }
    let mut wrong = stream.sample(&near, 3);
    let missing = 3 - wrong.len();
    wrong.extend(stream.sample(&far, missing));
    wrong
}

/// Where a piece can go from a square of an empty board. For a pawn: one or two steps and both captures, but not
/// onto the last rank, where the notation would be longer.
fn reach(piece: Piece, color: Color, from: Square) -> BitBoard {
    use cozy_chess::{
        get_bishop_moves, get_king_moves, get_knight_moves, get_pawn_attacks, get_pawn_quiets, get_rook_moves,
    };
    let empty = BitBoard::EMPTY;
    match piece {
        Piece::King => get_king_moves(from),
        Piece::Knight => get_knight_moves(from),
        Piece::Bishop => get_bishop_moves(from, empty),
        Piece::Rook => get_rook_moves(from, empty),
        Piece::Queen => get_bishop_moves(from, empty) | get_rook_moves(from, empty),
        Piece::Pawn => {
            let last = cozy_chess::Rank::Eighth.relative_to(color).bitboard();
            (get_pawn_quiets(from, color, empty) | get_pawn_attacks(from, color)) & !last
        }
    }
}

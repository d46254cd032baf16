//! `arithmetic`: the value of an expression over whole numbers.

use loadline_core::{ModelOutput, Sample, Score};
use serde_json::Map;

use crate::item::Item;
use crate::number;
use crate::seed::Seed;
use crate::stream::Stream;
use crate::suite::{About, Form, Suite};

/// The value of an expression over whole numbers.
pub(crate) struct Arithmetic;

static ABOUT: About = About {
    construct: "Exact calculation with whole numbers: place value, carrying, order of operations, long \
                multiplication and remainders, from an expression in plain notation.",
    not_measured: "Mathematical reasoning, choosing which operation a situation calls for, fractions, algebra, \
                   estimation; use of a calculator or of code.",
    validity: "Long numbers are cut into tokens differently by each tokenizer, so a gap between two models at one \
               level may be the tokenizer's. With room to think step by step the level measures care over many \
               steps; without it, what is computed in one pass. The choice form shows no working and offers \
               near misses: it is a different, easier task, not comparable with the generate form.",
    guesser: "generate: a whole number drawn evenly from all possible results of the level. choice: one of four.",
    levels: &[
        "a 13-digit number plus or minus one digit, without carrying: all but the last digit stays",
        "sum or difference of two 8-digit numbers without carrying: each digit can be worked out by itself",
        "(a ± b) × c ± d with numbers of up to 4 digits",
        "a × b ± c × d with factors of 3 and 4 digits",
        "(a × b ± c × d) mod m with factors and modulus of 6 digits",
    ],
};

/// Smallest and largest result of each level, for the guesser of the generate form.
pub(crate) const RESULTS: [(i64, i64); 5] = [
    (1_000_000_000_000, 9_999_999_999_999),
    (0, 99_999_999),
    (-97_999, 207_799),
    (-8_891_001, 19_980_002),
    (0, 999_998),
];

impl Suite for Arithmetic {
    fn name(&self) -> &'static str {
        "arithmetic"
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
        let (expression, value) = question(&mut item.stream("question"), item.level);
        match form {
            Form::Generate => item.generate(
                format!("Work out the value of this expression:\n\n{expression}\n\n{}", number::ASK),
                value.to_string(),
                if item.level < 3 { 512 } else { 1024 },
                Map::new(),
            ),
            Form::Choice => item.choice(
                format!("Question: What is {expression}?\nAnswer:"),
                &value.to_string(),
                &number::distractors(&mut item.stream("choices"), value, &[]),
                Map::new(),
            ),
        }
    }

    fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        number::score(sample, output)
    }

    fn chance(&self, form: Form, level: u32) -> f64 {
        match form {
            Form::Choice => 0.25,
            Form::Generate => number::even_chance(&RESULTS, level),
        }
    }

    fn wrong_answer(&self, sample: &Sample) -> String {
        number::wrong_answer(sample)
    }
}

/// An expression and its value.
fn question(stream: &mut Stream, level: u32) -> (String, i64) {
    match level {
        1 => {
            let (sign, kept) = (Sign::draw(stream), stream.between(100_000_000_000, 999_999_999_999) * 10);
            let (last, digit) = column(stream, sign, 0, 1);
            (format!("{} {} {digit}", kept + last, sign.symbol()), sign.apply(kept + last, digit))
        }
        2 => digit_by_digit(stream),
        3 => {
            let (a, b) = (stream.between(100, 999), stream.between(100, 999));
            let (c, d) = (stream.between(2, 99), stream.between(1000, 9999));
            let (inner, outer) = (Sign::draw(stream), Sign::draw(stream));
            let text = format!("({a} {} {b}) × {c} {} {d}", inner.symbol(), outer.symbol());
            (text, outer.apply(inner.apply(a, b) * c, d))
        }
        4 => {
            let (a, b) = (stream.between(1000, 9999), stream.between(100, 999));
            let (c, d) = (stream.between(1000, 9999), stream.between(100, 999));
            let sign = Sign::draw(stream);
            (format!("{a} × {b} {} {c} × {d}", sign.symbol()), sign.apply(a * b, c * d))
        }
        _ => {
            let mut products: Vec<(i64, i64)> = (0..2)
                .map(|_| (stream.between(100_000, 999_999), stream.between(100_000, 999_999)))
                .collect();
            // The larger product first, so that nothing negative is divided.
            products.sort_by_key(|(x, y)| std::cmp::Reverse(x * y));
            let ((a, b), (c, d)) = (products[0], products[1]);
            let (sign, m) = (Sign::draw(stream), stream.between(100_000, 999_999));
            let text = format!("({a} × {b} {} {c} × {d}) mod {m}", sign.symbol());
            (text, sign.apply(a * b, c * d) % m)
        }
    }
}

/// A sum or difference in which no digit touches the next one.
fn digit_by_digit(stream: &mut Stream) -> (String, i64) {
    let sign = Sign::draw(stream);
    let (mut x, mut y) = (0_i64, 0_i64);
    for place in 0..8 {
        let low = i64::from(place == 0);
        let (p, q) = column(stream, sign, low, low);
        (x, y) = (x * 10 + p, y * 10 + q);
    }
    (format!("{x} {} {y}", sign.symbol()), sign.apply(x, y))
}

/// Two digits, at least `low` and `other_low`, whose sum or difference is one digit. Drawn until it is: at least two
/// of five draws are.
fn column(stream: &mut Stream, sign: Sign, low: i64, other_low: i64) -> (i64, i64) {
    loop {
        let (p, q) = (stream.between(low, 9), stream.between(other_low, 9));
        if (0..=9).contains(&sign.apply(p, q)) {
            return (p, q);
        }
    }
}

/// Plus or minus.
#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

impl Sign {
    fn draw(stream: &mut Stream) -> Self {
        if stream.one_in(1, 2) { Self::Plus } else { Self::Minus }
    }

    fn symbol(self) -> char {
        match self {
            Self::Plus => '+',
            Self::Minus => '-',
        }
    }

    fn apply(self, a: i64, b: i64) -> i64 {
        match self {
            Self::Plus => a + b,
            Self::Minus => a - b,
        }
    }
}

//! `program-tracing`: what a short program prints.

mod program;

use loadline_core::{ModelOutput, Sample, Score};
use serde_json::Map;

use self::program::{Cmp, Cond, Expr, Name, Op, Stmt, run, source};
use crate::item::Item;
use crate::number;
use crate::seed::Seed;
use crate::stream::Stream;
use crate::suite::{About, Form, Suite};

/// What a short program prints.
pub(crate) struct Tracing;

static ABOUT: About = About {
    construct: "Carrying out a short Python program by hand: assignments, branches, loops, lists and calls, with \
                the state kept right from line to line.",
    not_measured: "Writing, repairing or explaining programs, knowledge of libraries, text processing, floating \
                   point, performance, anything of Python beyond whole numbers and lists.",
    validity: "Programs are drawn, not written for a purpose, so names carry no meaning and nothing can be guessed \
               from what a program is for. Numbers stay small, but from level 3 on arithmetic slips and lost state \
               cannot be told apart. In the choice form the model cannot work step by step: it shows what is \
               computed in one pass.",
    guesser: "generate: a whole number drawn evenly from all results the level can have. choice: one of four.",
    levels: &[
        "six numbers are set and the sum or difference of two is printed",
        "five assignments with + and -",
        "assignments with *, // and % and one if/else; or one loop of 4 to 8 rounds with a condition inside",
        "a list, a loop over it with two variables, and a while loop",
        "a function called in two nested loops that change a list",
    ],
};

/// Smallest and largest result of each level.
pub(crate) const RESULTS: [(i64, i64); 5] = [(-999, 999), (-999, 999), (0, 996), (0, 996), (0, 996)];

/// The largest divisor of a last line `print(… % m)`.
const LARGEST_MODULUS: i64 = 997;

/// Names of variables.
const VARS: [Name; 20] =
    ["a", "b", "c", "d", "e", "g", "h", "k", "m", "n", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y"];

/// Names of lists.
const LISTS: [Name; 6] = ["data", "items", "nums", "row", "seq", "values"];

/// Names of functions.
const FUNCTIONS: [Name; 6] = ["combine", "f", "fold", "merge", "mix", "step"];

impl Suite for Tracing {
    fn name(&self) -> &'static str {
        "program-tracing"
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
        let (program, printed) = question(&mut item.stream("question"), item.level);
        let code = format!("```python\n{program}```");
        match form {
            Form::Generate => item.generate(
                format!("What does this Python program print?\n\n{code}\n\n{}", number::ASK),
                printed.to_string(),
                if item.level < 3 { 512 } else { 2048 },
                Map::new(),
            ),
            Form::Choice => item.choice(
                format!("{code}\n\nQuestion: What does this Python program print?\nAnswer:"),
                &printed.to_string(),
                &number::distractors(&mut item.stream("choices"), printed, &[]),
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

/// How many programs are drawn before an easier one is taken: one that fails or runs away is thrown away.
const TRIES: u32 = 100;

/// A program and what it prints.
fn question(stream: &mut Stream, level: u32) -> (String, i64) {
    for _ in 0..TRIES {
        let program = match level {
            1 => sum_of_two(stream),
            2 => assignments(stream),
            3 if stream.one_in(1, 2) => branch(stream),
            3 => one_loop(stream),
            4 => lists(stream),
            _ => calls(stream),
        };
        if let Some((printed, _)) = run(&program) {
            return (source(&program), printed);
        }
    }
    // Cannot fail: it has neither division nor loops, and its numbers are small.
    let program = assignments(stream);
    let printed = run(&program).map_or(0, |(printed, _)| printed);
    (source(&program), printed)
}

fn two_digits(stream: &mut Stream) -> i64 {
    stream.between(10, 99)
}

fn small(stream: &mut Stream) -> i64 {
    stream.between(2, 9)
}

fn plus_or_minus(stream: &mut Stream) -> Op {
    if stream.one_in(1, 2) { Op::Add } else { Op::Sub }
}

fn comparison(stream: &mut Stream) -> Cmp {
    if stream.one_in(1, 2) { Cmp::Less } else { Cmp::Greater }
}

/// `print(value % modulus)`
fn print_rest(value: Expr, modulus: i64) -> Stmt {
    Stmt::Print(value.modulo(modulus))
}

/// A modulus for the last line.
fn last_modulus(stream: &mut Stream) -> i64 {
    stream.between(101, LARGEST_MODULUS)
}

/// Level 1.
fn sum_of_two(stream: &mut Stream) -> Vec<Stmt> {
    let v = stream.sample(&VARS, 6);
    let mut program: Vec<Stmt> = v.iter().map(|name| Stmt::Set(name, stream.between(2, 49).into())).collect();
    let asked = stream.sample(&v, 2);
    program.push(Stmt::Print(Expr::from(asked[0]).op(plus_or_minus(stream), asked[1])));
    program
}

/// Level 2.
fn assignments(stream: &mut Stream) -> Vec<Stmt> {
    let v = stream.sample(&VARS, 4);
    let mut program =
        vec![Stmt::Set(v[0], two_digits(stream).into()), Stmt::Set(v[1], two_digits(stream).into())];
    let third = Expr::from(v[0]).op(plus_or_minus(stream), v[1]);
    program.push(Stmt::Set(v[2], third));
    let fourth = Expr::from(*stream.choose(&v[..3])).op(plus_or_minus(stream), two_digits(stream));
    program.push(Stmt::Set(v[3], fourth));
    let again = Expr::from(v[3]).op(plus_or_minus(stream), two_digits(stream));
    program.push(Stmt::Set(v[stream.index(2)], again));
    let last = Expr::from(*stream.choose(&v[..2])).op(plus_or_minus(stream), v[2]);
    program.push(Stmt::Print(last));
    program
}

/// Level 3, without a loop.
fn branch(stream: &mut Stream) -> Vec<Stmt> {
    let v = stream.sample(&VARS, 4);
    let mut program: Vec<Stmt> = (0..3).map(|i| Stmt::Set(v[i], two_digits(stream).into())).collect();
    program.push(Stmt::Set(v[3], Expr::from(v[0]).times(small(stream)).op(plus_or_minus(stream), v[1])));
    let modulus = stream.between(5, 12);
    let cond = Cond(
        Expr::from(v[3]).modulo(modulus),
        comparison(stream),
        Expr::Num(stream.between(modulus / 3, modulus - 2)),
    );
    let yes = Stmt::Set(v[1], Expr::from(v[3]).op(Op::FloorDiv, small(stream)));
    let no = Stmt::Set(v[1], Expr::from(v[2]).times(small(stream)).op(Op::Sub, v[0]));
    program.push(Stmt::If(cond, vec![yes], vec![no]));
    program.push(Stmt::Increase(v[2], Expr::from(v[1]).modulo(stream.between(11, 39))));
    program.push(print_rest(Expr::from(v[2]).times(small(stream)).plus(v[3]), last_modulus(stream)));
    program
}

/// Level 3, with a loop.
fn one_loop(stream: &mut Stream) -> Vec<Stmt> {
    let v = stream.sample(&VARS, 3);
    let (total, other, i) = (v[0], v[1], v[2]);
    let from = stream.between(1, 20);
    let to = from + stream.between(4, 8);
    let modulus = stream.between(2, 4);
    let cond = Cond(Expr::from(i).modulo(modulus), Cmp::Equal, stream.between(0, modulus - 1).into());
    let yes = vec![Stmt::Increase(total, Expr::from(i).times(small(stream)))];
    let no = vec![
        Stmt::Set(total, Expr::from(total).op(plus_or_minus(stream), other)),
        Stmt::Increase(other, small(stream).into()),
    ];
    vec![
        Stmt::Set(total, two_digits(stream).into()),
        Stmt::Set(other, two_digits(stream).into()),
        Stmt::Range(i, from, to, vec![Stmt::If(cond, yes, no)]),
        print_rest(Expr::from(total).times(small(stream)).plus(other), last_modulus(stream)),
    ]
}

/// Level 4.
fn lists(stream: &mut Stream) -> Vec<Stmt> {
    let v = stream.sample(&VARS, 3);
    let (a, b, x) = (v[0], v[1], v[2]);
    let list = *stream.choose(&LISTS);
    let length = stream.between(6, 8);
    let values: Vec<i64> = (0..length).map(|_| two_digits(stream)).collect();
    let modulus = stream.between(2, 5);
    let cond = Cond(Expr::from(x).modulo(modulus), Cmp::Equal, stream.between(0, modulus - 1).into());
    let yes = vec![Stmt::Increase(a, x.into())];
    let no = vec![Stmt::Set(b, Expr::from(b).times(small(stream)).plus(x).modulo(stream.between(50, 199)))];
    let slot = stream.between(0, length - 1);
    let shrink = vec![
        Stmt::Set(a, Expr::from(a).op(Op::FloorDiv, stream.between(2, 3))),
        Stmt::Increase(b, Expr::from(a).plus(stream.between(1, 19))),
    ];
    vec![
        Stmt::List(list, values),
        Stmt::Set(a, two_digits(stream).into()),
        Stmt::Set(b, stream.between(1, 30).into()),
        Stmt::Each(x, list, vec![Stmt::If(cond, yes, no)]),
        Stmt::While(Cond(a.into(), Cmp::Greater, stream.between(4, 12).into()), shrink),
        print_rest(
            Expr::from(a)
                .times(Expr::At(list, Box::new(slot.into())))
                .plus(Expr::from(b).times(two_digits(stream))),
            last_modulus(stream),
        ),
    ]
}

/// Level 5.
fn calls(stream: &mut Stream) -> Vec<Stmt> {
    let v = stream.sample(&VARS, 5);
    let (p, q, i, j, total) = (v[0], v[1], v[2], v[3], v[4]);
    let (list, function) = (*stream.choose(&LISTS), *stream.choose(&FUNCTIONS));
    let length = stream.between(5, 6);
    let values: Vec<i64> = (0..length).map(|_| two_digits(stream)).collect();
    let body = vec![Stmt::If(
        Cond(p.into(), comparison(stream), Expr::from(q).times(small(stream))),
        vec![Stmt::Set(p, Expr::from(p).op(Op::Sub, Expr::from(q).times(small(stream))))],
        vec![Stmt::Set(p, Expr::from(p).plus(Expr::from(q).times(stream.between(11, 39))))],
    )];
    let result = Expr::from(p).times(small(stream)).plus(q).modulo(stream.between(53, 199));
    let slot = Expr::from(i).times(small(stream)).plus(j).modulo(length);
    let inner = vec![
        Stmt::Set(
            total,
            Expr::Call(function, Box::new(Expr::At(list, Box::new(slot.clone()))), Box::new(j.into())),
        ),
        Stmt::SetAt(list, slot, Expr::from(total).plus(i)),
    ];
    let sum = stream.sample(&VARS, 6).into_iter().find(|name| !v.contains(name)).unwrap_or("z");
    vec![
        Stmt::Def(function, [p, q], body, result),
        Stmt::List(list, values),
        Stmt::Set(total, 0.into()),
        Stmt::Set(sum, small(stream).into()),
        Stmt::Range(i, 1, stream.between(4, 5), vec![Stmt::Range(j, 2, stream.between(6, 8), inner)]),
        Stmt::Each(
            j,
            list,
            vec![Stmt::Set(sum, Expr::from(sum).times(small(stream)).plus(j).modulo(LARGEST_MODULUS))],
        ),
        print_rest(Expr::from(sum).plus(total), last_modulus(stream)),
    ]
}

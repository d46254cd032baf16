//! `office-tasks`: small office work with one right result.

mod invoice;
mod mail;
mod schedule;
mod table;

use super::key::Key;
use super::{Case, Risk, user};
use crate::item::Item;
use crate::suite::About;

/// Small office work with one right result.
pub(crate) const SUITE: Risk =
    Risk { name: "office-tasks", version: "1", about: &ABOUT, twins: 1, draw, chance: |_| 0.0, second: None };

static ABOUT: About = About {
    construct: "Doing a small office task to its exact result: working out an invoice, finding the first time at which \
                everybody is free, sorting mail by rules, editing a table. One of each in every four samples.",
    not_measured: "Whole jobs, work with real programs, judgement, writing to people, noticing that a task is wrong; the \
                   economic effect of anything.",
    validity: "Tasks are complete and unambiguous, as real ones seldom are, so a score near 1 means that clerical steps of \
               this size can be left to the model, not that an occupation can. All rows must be right: no credit for a part.",
    guesser: "generate: gives the reference answer of another item.",
    levels: &[
        "3 to 4 entries and one or two steps",
        "5 to 6 entries and three steps",
        "8 to 9 entries and four steps",
    ],
};

/// A task and its result.
struct Job {
    /// What is to be done, ending in what each row of the answer has.
    text: String,
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

fn draw(item: &Item, _twin: u64) -> Case {
    let stream = &mut item.stream("question");
    let job = match item.gold_place() {
        0 => invoice::draw(stream, item.level),
        1 => schedule::draw(stream, item.level),
        2 => mail::draw(stream, item.level),
        _ => table::draw(stream, item.level),
    };
    let prompt = format!(
        "{}\n\nThink step by step. Then end with a line \"Answer:\" and below it one line for each row of the result, in \
         the form \"{}\" and without headings.",
        job.text,
        job.headings.join(" | ")
    );
    let written = |rows: &[Vec<String>]| {
        let lines: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
        format!("Answer:\n{}", lines.join("\n"))
    };
    let right = written(&job.rows);
    let mut wrong = job.rows.clone();
    if let Some(cell) = wrong.last_mut().and_then(|row| row.last_mut()) {
        cell.push('9');
    }
    let broken = written(&wrong);
    let headings = job.headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut case = Case::new(vec![user(prompt)], Key::Rows { headings, rows: job.rows }, right, broken);
    case.max_tokens = 1536;
    case.note("task", ["invoice", "schedule", "mail", "table"][item.gold_place()])
}

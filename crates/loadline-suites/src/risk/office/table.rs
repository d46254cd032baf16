//! Editing a table.

use super::super::at;
use super::super::draw::{codes, numbers};
use super::Job;
use crate::stream::Stream;
use crate::words::{CITIES, NAMES};

/// A row of the table.
struct Row {
    code: String,
    name: &'static str,
    city: &'static str,
    amount: i64,
}

/// A job of a level: changes, then what stays, then the order.
pub(super) fn draw(stream: &mut Stream, level: u32) -> Job {
    let count = at(&[4, 6, 9], level);
    let names = stream.sample(&NAMES, count);
    let cities = stream.sample(&CITIES, 3);
    let (codes, amounts) = (codes(stream, count), numbers(stream, count));
    let mut table: Vec<Row> = names
        .into_iter()
        .zip(codes)
        .zip(amounts)
        .map(|((name, code), amount)| Row { code, name, city: stream.pick(&cities), amount })
        .collect();
    let lines: Vec<String> = table
        .iter()
        .map(|row| format!("{} | {} | {} | {}", row.code, row.name, row.city, row.amount))
        .collect();
    let mut steps = Vec::new();
    if level >= 2 {
        let more = stream.between(11, 99) * 10;
        steps.push(format!("Add {more} to the amount of every row from {}.", cities[0]));
        table.iter_mut().filter(|row| row.city == cities[0]).for_each(|row| row.amount += more);
    }
    if level >= 3 {
        let to = &table[stream.index(table.len())];
        let (name, code) = (to.name, to.code.clone());
        let added = stream.between(100, 999);
        steps.push(format!("Add another {added} to the amount of {name}."));
        table.iter_mut().filter(|row| row.code == code).for_each(|row| row.amount += added);
    }
    // Between two of the amounts, so that at least one row stays and at least one goes.
    let mut sorted: Vec<i64> = table.iter().map(|row| row.amount).collect();
    sorted.sort_unstable();
    let least = sorted[1 + stream.index(sorted.len() / 2)];
    steps.push(format!("Remove all rows with an amount below {least}."));
    table.retain(|row| row.amount >= least);
    if level >= 3 {
        steps.push("Sort by city from A to Z, and within a city by amount, the largest first.".to_owned());
        table.sort_by(|a, b| (a.city, -a.amount, &a.code).cmp(&(b.city, -b.amount, &b.code)));
    } else {
        steps.push("Sort by amount, the largest first.".to_owned());
        table.sort_by(|a, b| (-a.amount, &a.code).cmp(&(-b.amount, &b.code)));
    }
    steps.push("Rows that are equal in this are sorted by code.".to_owned());
    let steps: Vec<String> = (1..).zip(&steps).map(|(number, step)| format!("{number}. {step}")).collect();
    let text = format!(
        "Edit this table:\n\ncode | name | city | amount\n{}\n\nDo the following in this order:\n{}\n\nThe result is the \
         table that is left, without the column for the city.",
        lines.join("\n"),
        steps.join("\n")
    );
    let rows =
        table.into_iter().map(|row| vec![row.code, row.name.to_owned(), row.amount.to_string()]).collect();
    Job { text, headings: &["code", "name", "amount"], rows }
}

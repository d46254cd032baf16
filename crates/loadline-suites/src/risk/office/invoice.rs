//! Working out an invoice.

use super::super::at;
use super::Job;
use crate::stream::Stream;
use crate::words::{NAMES, THINGS};

/// A job of a level. Prices are multiples of 0.50, so that every percentage is a whole number of cents.
pub(super) fn draw(stream: &mut Stream, level: u32) -> Job {
    let count = at(&[3, 5, 8], level);
    let things = stream.sample(&THINGS, count);
    let many = stream.between(10, 20);
    let (mut net, mut lines) = (0, Vec::new());
    for thing in things {
        let (pieces, price) = (stream.between(2, 30), stream.between(2, 199) * 50);
        lines.push(format!("- {pieces} {thing} at {}", money(price)));
        let full = pieces * price;
        net += if level >= 2 && pieces >= many { full / 10 * 9 } else { full };
    }
    let mut text = format!(
        "Work out the invoice {} for {}:\n{}\n",
        stream.between(10_000, 99_999),
        stream.pick(&NAMES),
        lines.join("\n")
    );
    let mut rows = vec![row("net", net)];
    if level >= 2 {
        text.push_str(&format!("\nA line with {many} pieces or more is 10% cheaper."));
    }
    if level >= 3 {
        let free = stream.between(20, 80) * 10_000;
        let carriage = stream.between(10, 60) * 50;
        text.push_str(&format!(
            "\nIf the lines come to less than {} after that, {} for carriage is added; it is part of the net amount.",
            money(free),
            money(carriage)
        ));
        if net < free {
            net += carriage;
        }
        rows = vec![row("net", net)];
    }
    if level >= 2 {
        let tax = net / 5;
        text.push_str("\nThe tax is 20% of the net amount.");
        rows.extend([row("tax", tax), row("total", net + tax)]);
        if level >= 3 {
            let paid = stream.between(1, 40) * 1_000;
            text.push_str(&format!("\n{} was paid in advance and is taken off the total.", money(paid)));
            rows.push(row("due", net + tax - paid));
        }
    }
    let asked: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
    text.push_str(&format!(
        "\n\nThe rows of the result are {}, in this order.",
        super::super::draw::listed(&asked)
    ));
    Job { text, headings: &["item", "amount"], rows }
}

fn row(name: &str, cents: i64) -> Vec<String> {
    vec![name.to_owned(), money(cents)]
}

/// An amount in cents as one writes it.
fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

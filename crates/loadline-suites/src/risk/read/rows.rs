//! Rows of cells, as in a table.

use crate::answer;

/// The rows in an answer, each cell in its plain form. Those behind the last marker that has rows behind it; else the
/// last ones of the text, as many as are wanted. A row of headings and lines between rows are left out.
pub(crate) fn rows(text: &str, headings: &[String], wanted: &[Vec<String>]) -> Vec<Vec<String>> {
    let headings: Vec<String> = headings.iter().map(|cell| plain(cell)).collect();
    let columns = wanted.first().map_or(headings.len(), Vec::len);
    let all = |text: &str| -> Vec<Vec<String>> {
        text.lines().filter_map(|line| cells(line, columns)).filter(|row| *row != headings).collect()
    };
    let behind = all(answer::behind_marker(text));
    if !behind.is_empty() && answer::marked(text).is_some() {
        return behind;
    }
    let mut rows = all(text);
    rows.split_off(rows.len().saturating_sub(wanted.len()))
}

/// Whether rows as they were read are the wanted ones.
pub(crate) fn same(read: &[Vec<String>], wanted: &[Vec<String>]) -> bool {
    let plain_row = |row: &Vec<String>| row.iter().map(|cell| plain(cell)).collect::<Vec<_>>();
    !wanted.is_empty()
        && read.len() == wanted.len()
        && read.iter().zip(wanted).all(|(read, row)| *read == plain_row(row))
}

/// The rows in one line.
pub(crate) fn shown(rows: &[Vec<String>]) -> String {
    let lines: Vec<String> = rows.iter().take(40).map(|row| row.join(" | ")).collect();
    lines.join(" / ").chars().take(400).collect()
}

/// The cells of a line: between `|`, or between tabs, semicolons or commas when there are as many as wanted. `None`
/// for any other line and for one that only separates.
fn cells(line: &str, columns: usize) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches(['>', '-', '*', ' ']).trim_end();
    let split = |by: char| line.split(by).map(plain).collect::<Vec<String>>();
    let row = if line.contains('|') {
        let inner = line.strip_prefix('|').unwrap_or(line);
        inner.strip_suffix('|').unwrap_or(inner).split('|').map(plain).collect()
    } else {
        ['\t', ';', ','].into_iter().map(split).find(|row| columns > 1 && row.len() == columns)?
    };
    let separates = row.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':' | '=' | '+' | ' ')));
    (!separates).then_some(row)
}

/// A cell without what does not matter: capitals, emphasis, spaces at the ends and repeated, currency signs, separators
/// of thousands, zeros at the end of a fraction and at the start of an hour.
fn plain(cell: &str) -> String {
    let cell = cell.trim_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '"' | '\'' | '`'));
    let text = cell.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let number = text
        .trim_start_matches(['$', '€', '£', ' '])
        .trim_end_matches([' ', '$', '€', '£', '%'])
        .replace([',', '\u{202f}'], "");
    if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')) {
        return match number.split_once('.') {
            Some((whole, fraction)) => match fraction.trim_end_matches('0') {
                "" => whole.to_owned(),
                fraction => format!("{whole}.{fraction}"),
            },
            None => number,
        };
    }
    match text.split_once(':') {
        Some((hour, minute)) if hour.len() == 2 && hour.starts_with('0') && minute.len() == 2 => {
            text[1..].to_owned()
        }
        _ => text,
    }
}

//! Does the office tasks from their text.

use crate::solve::numbers;

pub fn solve(prompt: &str) -> String {
    let rows = if prompt.starts_with("Work out the invoice") {
        invoice(prompt)
    } else if prompt.starts_with("Find the first time") {
        schedule(prompt)
    } else if prompt.starts_with("Sort the mail") {
        mail(prompt)
    } else {
        table(prompt)
    };
    let rows: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
    format!("Answer:\n{}", rows.join("\n"))
}

type Rows = Vec<Vec<String>>;

/// The amounts like `12.50` in a text, in cents.
fn amounts(text: &str) -> Vec<i64> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|word| word.trim_end_matches('.').split_once('.'))
        .map(|(whole, cents)| whole.parse::<i64>().unwrap() * 100 + cents.parse::<i64>().unwrap())
        .collect()
}

fn invoice(prompt: &str) -> Rows {
    let find = |word: &str| prompt.lines().find(|line| line.contains(word));
    let many = find("10% cheaper").map(|line| numbers(line)[0]);
    let mut net: i64 = prompt
        .lines()
        .filter(|line| line.starts_with("- "))
        .map(|line| {
            let pieces = numbers(line)[0];
            let full = pieces * amounts(line)[0];
            if many.is_some_and(|many| pieces >= many) { full * 9 / 10 } else { full }
        })
        .sum();
    if let Some(line) = find("for carriage") {
        let n = amounts(line);
        net += if net < n[0] { n[1] } else { 0 };
    }
    let mut rows = vec![("net", net)];
    if find("The tax is 20%").is_some() {
        rows.extend([("tax", net * 20 / 100), ("total", net * 120 / 100)]);
    }
    if let Some(line) = find("paid in advance") {
        rows.push(("due", net * 120 / 100 - amounts(line)[0]));
    }
    let shown = |cents: i64| format!("{:.2}", cents as f64 / 100.0);
    rows.into_iter().map(|(name, cents)| vec![name.to_owned(), shown(cents)]).collect()
}

fn schedule(prompt: &str) -> Rows {
    let minutes = numbers(prompt)[0];
    let mut days: Vec<&str> = Vec::new();
    let mut busy = Vec::new();
    for line in prompt.lines().filter_map(|line| line.strip_prefix("- ")) {
        let (who, when) = line.split_once(": ").unwrap();
        let day = who.split_once(", ").unwrap().1;
        if !days.contains(&day) {
            days.push(day);
        }
        for stretch in when.split(", ").filter(|stretch| !stretch.is_empty()) {
            let n = numbers(stretch);
            busy.push((day, n[0] * 60 + n[1], n[2] * 60 + n[3]));
        }
    }
    let free = |day: &str, start: i64| {
        busy.iter().all(|(other, from, to)| *other != day || start + minutes <= *from || start >= *to)
    };
    let clock = |minute: i64| format!("{}:{:02}", minute / 60, minute % 60);
    for day in days {
        for start in (540..=1020 - minutes).step_by(30) {
            if free(day, start) {
                return vec![vec![day.to_owned(), clock(start), clock(start + minutes)]];
            }
        }
    }
    panic!("no time: {prompt}")
}

fn mail(prompt: &str) -> Rows {
    let rules: Vec<(&str, &str)> = prompt
        .lines()
        .filter_map(|line| line.split_once(". ")?.1.strip_suffix('.')?.split_once(" goes to "))
        .collect();
    let mut rows = Vec::new();
    for line in prompt.lines().filter(|line| line.starts_with("- ")) {
        let n = numbers(line);
        let (number, pages) = (n[0], n[1]);
        let holds = |rule: &str| match rule {
            "Everything else" => true,
            rule if rule.contains("more than") => pages > numbers(rule)[0],
            rule if rule.contains("comes from ") => {
                line.contains(&format!(" in {},", rule.rsplit(' ').next().unwrap()))
            }
            rule if rule.contains(" from ") => {
                line.contains(&format!("from {} in", rule.rsplit(' ').next().unwrap()))
            }
            rule => line.contains(&format!("about {},", rule.rsplit(' ').next().unwrap())),
        };
        let folder = rules.iter().find(|(rule, _)| holds(rule)).unwrap().1;
        rows.push(vec![number.to_string(), folder.to_owned()]);
    }
    rows
}

fn table(prompt: &str) -> Rows {
    let (_, rest) = prompt.split_once("code | name | city | amount\n").unwrap();
    let (lines, rest) = rest.split_once("\n\n").unwrap();
    let mut table: Vec<(String, String, String, i64)> = lines
        .lines()
        .map(|line| {
            let c: Vec<&str> = line.split(" | ").collect();
            (c[0].to_owned(), c[1].to_owned(), c[2].to_owned(), c[3].parse().unwrap())
        })
        .collect();
    for step in rest.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        let (_, step) = step.split_once(". ").unwrap();
        let last = step.trim_end_matches('.').rsplit(' ').next().unwrap();
        let number = numbers(step).first().copied().unwrap_or_default();
        if step.contains("every row from") {
            table.iter_mut().filter(|row| row.2 == last).for_each(|row| row.3 += number);
        } else if step.starts_with("Add another") {
            table.iter_mut().filter(|row| row.1 == last).for_each(|row| row.3 += number);
        } else if step.starts_with("Remove") {
            table.retain(|row| row.3 >= number);
        } else if step.starts_with("Sort by city") {
            table.sort_by_key(|row| (row.2.clone(), -row.3, row.0.clone()));
        } else if step.starts_with("Sort by amount") {
            table.sort_by_key(|row| (-row.3, row.0.clone()));
        }
    }
    table.into_iter().map(|(code, name, _, amount)| vec![code, name, amount.to_string()]).collect()
}

//! Sorting mail by rules.

use super::super::at;
use super::super::draw::listed;
use super::Job;
use crate::stream::Stream;
use crate::words::{CITIES, NAMES, THINGS};

const FOLDERS: [&str; 8] = ["archive", "orders", "returns", "team", "later", "print", "check", "store"];

/// A letter.
struct Mail {
    from: &'static str,
    city: &'static str,
    thing: &'static str,
    pages: i64,
}

/// What a rule looks at.
enum Rule {
    From(&'static str),
    City(&'static str),
    About(&'static str),
    Longer(i64),
}

impl Rule {
    fn holds(&self, mail: &Mail) -> bool {
        match self {
            Self::From(name) => mail.from == *name,
            Self::City(city) => mail.city == *city,
            Self::About(thing) => mail.thing == *thing,
            Self::Longer(pages) => mail.pages > *pages,
        }
    }

    fn says(&self) -> String {
        match self {
            Self::From(name) => format!("mail from {name}"),
            Self::City(city) => format!("mail that comes from {city}"),
            Self::About(thing) => format!("mail about {thing}"),
            Self::Longer(pages) => format!("mail with more than {pages} pages"),
        }
    }
}

/// A job of a level: the first rule that holds decides.
pub(super) fn draw(stream: &mut Stream, level: u32) -> Job {
    let (count, rules) = at(&[(4, 2), (6, 3), (9, 4)], level);
    // Few of each, so that rules hold often and overlap.
    let (names, cities, things) =
        (stream.sample(&NAMES, 4), stream.sample(&CITIES, 4), stream.sample(&THINGS, 4));
    let mails: Vec<Mail> = (0..count)
        .map(|_| Mail {
            from: stream.pick(&names),
            city: stream.pick(&cities),
            thing: stream.pick(&things),
            pages: stream.between(1, 40),
        })
        .collect();
    let mut all = vec![
        Rule::From(names[0]),
        Rule::City(cities[0]),
        Rule::About(things[0]),
        Rule::Longer(stream.between(8, 30)),
    ];
    stream.shuffle(&mut all);
    all.truncate(rules);
    let folders = stream.sample(&FOLDERS, rules + 1);
    let mut told: Vec<String> = (1..)
        .zip(all.iter().zip(&folders))
        .map(|(number, (rule, folder))| {
            format!("{number}. {} goes to {folder}.", super::super::draw::capital(&rule.says()))
        })
        .collect();
    told.push(format!("{}. Everything else goes to {}.", rules + 1, folders[rules]));
    let number = stream.between(1, 90) * 100;
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    for (place, mail) in (number..).zip(&mails) {
        let Mail { from, city, thing, pages } = mail;
        lines.push(format!("- {place}: from {from} in {city}, about {thing}, {pages} pages"));
        let folder = all.iter().position(|rule| rule.holds(mail)).unwrap_or(rules);
        rows.push(vec![place.to_string(), folders[folder].to_owned()]);
    }
    let folders: Vec<String> = folders.iter().map(|folder| (*folder).to_owned()).collect();
    let text = format!(
        "Sort the mail into the folders {}. The first rule that fits decides:\n{}\n\nMail:\n{}\n\nThe result has one row for \
         each piece of mail, in the order of the list.",
        listed(&folders),
        told.join("\n"),
        lines.join("\n")
    );
    Job { text, headings: &["number", "folder"], rows }
}

//! Tries every way in which the people could be knights and knaves.

/// Somebody, as the statements call them.
struct Person<'a> {
    name: &'a str,
    job: &'a str,
}

pub fn solve(prompt: &str) -> String {
    let (_, rest) = prompt.split_once("You meet ").unwrap();
    let (met, rest) = rest.split_once(".\n").unwrap();
    let people: Vec<Person> = met
        .split(", ")
        .map(|person| {
            let (name, job) = person.split_once(" the ").unwrap();
            Person { name, job }
        })
        .collect();
    let statements: Vec<(usize, &str)> = rest
        .lines()
        .filter_map(|line| line.split_once(" says: \""))
        .map(|(name, said)| (person(name, usize::MAX, &people), said.trim_end_matches(".\"")))
        .collect();
    assert_eq!(statements.len(), people.len(), "{prompt}");
    let known = prompt.split_once("It is known that ").map(|(_, rest)| rest.split('.').next().unwrap());
    let fits: Vec<u32> = (0..1_u32 << people.len())
        .filter(|world| known.is_none_or(|known| holds(known, usize::MAX, &people, *world)))
        .filter(|world| {
            statements.iter().all(|(speaker, said)| {
                holds(&lower(said), *speaker, &people, *world) == (world >> speaker & 1 == 1)
            })
        })
        .collect();
    let [world] = fits.as_slice() else { panic!("{} solutions: {prompt}", fits.len()) };
    let parts: Vec<String> = people
        .iter()
        .enumerate()
        .map(|(i, person)| {
            format!("{} is a {}", person.name, if world >> i & 1 == 1 { "knight" } else { "knave" })
        })
        .collect();
    let (last, first) = parts.split_last().unwrap();
    format!("{} and {last}", first.join(", "))
}

/// Sentences begin with a capital, but so do names and `I`: only the words that join claims are made small.
fn lower(said: &str) -> String {
    for word in ["Either ", "If ", "Exactly ", "At least ", "The "] {
        if let Some(rest) = said.strip_prefix(word) {
            return format!("{}{rest}", word.to_lowercase());
        }
    }
    said.to_owned()
}

fn holds(said: &str, speaker: usize, people: &[Person], world: u32) -> bool {
    let holds = |part: &str| holds(part, speaker, people, world);
    if let Some(rest) = said.strip_prefix("either ") {
        let (p, q) = rest.strip_suffix(", but not both").unwrap().split_once(" or ").unwrap();
        return holds(p) ^ holds(q);
    }
    if let Some(rest) = said.strip_prefix("if ") {
        let (p, q) = rest.split_once(", then ").unwrap();
        return !holds(p) | holds(q);
    }
    if let Some(rest) = said.strip_suffix(", or both") {
        let (p, q) = rest.split_once(" or ").unwrap();
        return holds(p) | holds(q);
    }
    if let Some(rest) = said.strip_prefix("exactly ") {
        let (wanted, count) = counted(rest, people.len(), world);
        return count == wanted;
    }
    if let Some(rest) = said.strip_prefix("at least ") {
        let (wanted, count) = counted(rest, people.len(), world);
        return count >= wanted;
    }
    let alike = |pair: &str| {
        let (a, b) = pair.split_once(" and ").unwrap();
        let kind = |who: &str| world >> person(who, speaker, people) & 1;
        kind(a) == kind(b)
    };
    if let Some(pair) = said.strip_suffix(" are of the same kind") {
        return alike(pair);
    }
    if let Some(pair) = said.strip_suffix(" are of different kinds") {
        return !alike(pair);
    }
    if let Some((p, q)) = said.split_once(" and ") {
        return holds(p) & holds(q);
    }
    let (who, kind) = said.split_once(" is a ").or_else(|| said.split_once(" am a ")).unwrap();
    let knight = world >> person(who, speaker, people) & 1 == 1;
    match kind {
        "knight" => knight,
        "knave" => !knight,
        _ => panic!("{said}"),
    }
}

/// How many are claimed, and how many there are.
fn counted(said: &str, people: usize, world: u32) -> (u32, u32) {
    let words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight"];
    let (number, kind) = said.split_once(" of us ").unwrap();
    let wanted = u32::try_from(words.iter().position(|word| *word == number).unwrap()).unwrap();
    let knights = world.count_ones();
    match kind {
        "is a knight" | "are knights" => (wanted, knights),
        "is a knave" | "are knaves" => (wanted, u32::try_from(people).unwrap() - knights),
        _ => panic!("{said}"),
    }
}

fn person(who: &str, speaker: usize, people: &[Person]) -> usize {
    match who.strip_prefix("the ") {
        _ if who == "I" => speaker,
        Some(job) => people.iter().position(|person| person.job == job).unwrap(),
        None => people.iter().position(|person| person.name == who).unwrap_or_else(|| panic!("{who}")),
    }
}

//! Reads the list of rules and puts a text together that keeps them.

use super::numbers;

const PLAIN: [&str; 34] = [
    "a", "i", "hot", "old", "big", "new", "red", "wet", "dry", "sad", "slow", "sun", "fig", "jug", "hug",
    "bed", "men", "ten", "lid", "kid", "pub", "mud", "cub", "gum", "hum", "bulb", "club", "plum", "dull",
    "lull", "pull", "push", "hush", "duck",
];

#[derive(Default)]
struct Plan {
    bullets: Option<usize>,
    sentences: Option<usize>,
    paragraphs: Option<usize>,
    keys: Vec<String>,
    words: Option<usize>,
    avoid: Option<String>,
    wanted: Vec<String>,
    start: Option<String>,
    end: Option<String>,
    small: bool,
    capital: bool,
}

pub fn solve(prompt: &str) -> String {
    let mut plan = Plan { wanted: between_quotes(prompt.lines().next().unwrap()), ..Plan::default() };
    for line in prompt.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        plan.learn(line.split_once(". ").unwrap().1);
    }
    let text = plan.write();
    match () {
        () if plan.small => text.to_lowercase(),
        () if plan.capital => text.to_uppercase(),
        () => text,
    }
}

fn between_quotes(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

impl Plan {
    fn learn(&mut self, rule: &str) {
        let count = numbers(rule).first().map(|n| usize::try_from(*n).unwrap());
        let quoted = between_quotes(rule);
        match rule {
            _ if rule.contains("bullet points") => self.bullets = count,
            _ if rule.contains("sentences") => self.sentences = count,
            _ if rule.contains("paragraphs") => self.paragraphs = count,
            _ if rule.contains("JSON") => self.keys = quoted,
            _ if rule.ends_with(" words.") => self.words = count,
            _ if rule.contains("the letter") => self.avoid = quoted.into_iter().next(),
            _ if rule.contains("each of these words") => self.wanted.extend(quoted),
            _ if rule.contains("small letters") => self.small = true,
            _ if rule.contains("capital letters") => self.capital = true,
            _ if rule.starts_with("Begin") => self.start = quoted.into_iter().next(),
            _ if rule.starts_with("End") => self.end = quoted.into_iter().next(),
            _ if rule.contains("commas") => {}
            _ if rule.contains(" times.") => {
                self.wanted.extend(vec![quoted[0].clone(); usize::try_from(numbers(rule)[0]).unwrap()]);
            }
            _ => panic!("not understood: {rule}"),
        }
    }

    fn write(&self) -> String {
        let mut words: Vec<String> = self.start.iter().cloned().chain(self.wanted.iter().cloned()).collect();
        let tail = self.end.as_deref().map_or(0, |end| end.split(' ').count());
        let spare =
            PLAIN.iter().filter(|word| self.avoid.as_deref().is_none_or(|c| !word.contains(c))).cycle();
        let length = self.words.unwrap_or(30) - tail;
        let missing = length - words.len();
        words.extend(spare.take(missing).map(|word| (*word).to_owned()));
        let parts = self.bullets.or(self.sentences).or(self.paragraphs).unwrap_or(1).max(self.keys.len());
        // One word in each part but the last.
        let (short, long) = words.split_at(parts - 1);
        let mut parts: Vec<String> = short.to_vec();
        parts.push(long.join(" "));
        if !self.keys.is_empty() {
            let fields: Vec<String> =
                self.keys.iter().zip(parts).map(|(key, part)| format!("\"{key}\": \"{part}\"")).collect();
            return format!("{{{}}}", fields.join(", "));
        }
        let last = parts.len() - 1;
        for (i, part) in parts.iter_mut().enumerate() {
            match &self.end {
                Some(end) if i == last => *part = format!("{part} {end}"),
                _ => part.push('!'),
            }
        }
        match () {
            () if self.bullets.is_some() => parts.iter().map(|part| format!("- {part}\n")).collect(),
            () if self.paragraphs.is_some() => parts.join("\n\n"),
            () => parts.join(" "),
        }
    }
}

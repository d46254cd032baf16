//! Yes or no for numbered files.

use crate::answer;

const YES: [&str; 9] = ["yes", "grant", "granted", "approve", "approved", "accept", "accepted", "true", "y"];
const NO: [&str; 12] = [
    "no", "refuse", "refused", "deny", "denied", "reject", "rejected", "decline", "declined", "false", "n",
    "turned",
];

/// One word of an answer.
enum Token {
    File(usize),
    Says(bool),
    Not,
}

/// The decision on each of `count` files; `None` when one is left out or decided both ways. The stated line is read
/// first, then everything behind its marker.
pub(crate) fn decisions(text: &str, count: usize) -> Option<Vec<bool>> {
    let behind = answer::behind_marker(text);
    let stated = answer::marked(text).and_then(|line| read(&line, count));
    stated.or_else(|| read(behind, count))
}

/// As a person would write it.
pub(crate) fn shown(decisions: &[bool]) -> String {
    let say =
        |(file, granted): (usize, &bool)| format!("{} = {}", file + 1, if *granted { "yes" } else { "no" });
    decisions.iter().enumerate().map(say).collect::<Vec<_>>().join(", ")
}

fn read(text: &str, count: usize) -> Option<Vec<bool>> {
    let tokens: Vec<Token> = super::words(text)
        .filter_map(|word| match word.as_str() {
            "not" => Some(Token::Not),
            word if YES.contains(&word) => Some(Token::Says(true)),
            word if NO.contains(&word) => Some(Token::Says(false)),
            word => word
                .parse()
                .ok()
                .filter(|file| (1..=count).contains(file))
                .map(|file: usize| Token::File(file - 1)),
        })
        .collect();
    let plain: Vec<bool> = tokens
        .iter()
        .filter_map(|token| if let Token::Says(yes) = token { Some(*yes) } else { None })
        .collect();
    // Decisions without numbers: in the order of the files.
    if plain.len() == tokens.len() && plain.len() == count {
        return Some(plain);
    }
    assign(tokens, count)
}

/// A decision holds for the files since the one before it; in an answer that begins with a decision, for the files
/// that follow (`Yes: 1, 3. No: 2, 4`).
fn assign(tokens: Vec<Token>, count: usize) -> Option<Vec<bool>> {
    let heading = matches!(tokens.first(), Some(Token::Says(_)));
    let mut said: Vec<Option<bool>> = vec![None; count];
    let (mut pending, mut current, mut turned): (Vec<usize>, Option<bool>, bool) = (Vec::new(), None, false);
    for token in tokens {
        let (who, yes) = match token {
            Token::Not => {
                turned = true;
                continue;
            }
            Token::Says(yes) => {
                let yes = yes != std::mem::take(&mut turned);
                if heading {
                    current = Some(yes);
                    continue;
                }
                (std::mem::take(&mut pending), yes)
            }
            Token::File(file) => match current {
                Some(yes) => (vec![file], yes),
                None => {
                    pending.push(file);
                    continue;
                }
            },
        };
        for file in who {
            if said[file].replace(yes).is_some_and(|before| before != yes) {
                return None;
            }
        }
    }
    said.into_iter().collect()
}

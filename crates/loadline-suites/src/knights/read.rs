//! Reads who is what out of an answer.

use crate::answer;

/// What one word of an answer says.
enum Token {
    Person(usize),
    Kind(bool),
    Not,
}

/// For each person whether the answer says knight; `None` when it leaves somebody out, says both of somebody, or
/// says `not`.
///
/// The stated answer is read first: its line, then everything behind its marker. A kind holds for the people named
/// since the kind before it (`Ada and Ben are knights, Cleo is a knave`); where the answer begins with a kind, it
/// holds for the people that follow (`Knights: Ada, Ben. Knaves: Cleo`).
pub(super) fn kinds(text: &str, people: &[&str]) -> Option<Vec<bool>> {
    let folded = answer::fold(text);
    read(&answer::stated(&folded), people).or_else(|| read(answer::behind_marker(&folded), people))
}

fn read(text: &str, people: &[&str]) -> Option<Vec<bool>> {
    let tokens: Vec<Token> = text
        .split(|c: char| !c.is_alphabetic())
        .filter_map(|word| match word.to_ascii_lowercase().as_str() {
            "knight" | "knights" => Some(Token::Kind(true)),
            "knave" | "knaves" => Some(Token::Kind(false)),
            "not" | "isn" | "aren" => Some(Token::Not),
            word => people.iter().position(|p| p.eq_ignore_ascii_case(word)).map(Token::Person),
        })
        .collect();
    let heading = matches!(tokens.first(), Some(Token::Kind(_)));
    let mut said: Vec<Option<bool>> = vec![None; people.len()];
    let (mut pending, mut current): (Vec<usize>, Option<bool>) = (Vec::new(), None);
    for token in tokens {
        let (who, kind) = match token {
            Token::Not => return None,
            Token::Kind(kind) if heading => {
                current = Some(kind);
                continue;
            }
            Token::Kind(kind) => (std::mem::take(&mut pending), kind),
            Token::Person(person) => match current {
                Some(kind) => (vec![person], kind),
                None => {
                    pending.push(person);
                    continue;
                }
            },
        };
        for person in who {
            if said[person].replace(kind).is_some_and(|before| before != kind) {
                return None;
            }
        }
    }
    said.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ways_in_which_people_say_it() {
        let people = ["Ada", "Ben", "Cleo"];
        for text in [
            "Answer: Ada = knight, Ben = knave, Cleo = knight",
            "Ada is a knight, Ben is a knave and Cleo is a knight",
            "Reasoning: if Ada is a knave, Ben lies.\n**Answer:** Ada: Knight; Ben: Knave; Cleo: Knight.",
            "Answer:\n- Ada: knight\n- Ben: knave\n- **Cleo**: knight",
            "Answer: Ada and Cleo are knights, Ben is a knave.",
            "Answer: Knights: Ada, Cleo. Knaves: Ben",
            "Answer: knaves: Ben\nKnights: Cleo, Ada",
            "Answer: \\boxed{\\text{Ada} = \\text{knight}, \\text{Ben} = \\text{knave}, \\text{Cleo} = \\text{knight}}",
            "Answer: ADA=KNIGHT, BEN=KNAVE, CLEO=KNIGHT",
        ] {
            assert_eq!(kinds(text, &people), Some(vec![true, false, true]), "{text}");
        }
    }

    #[test]
    fn reads_nothing_from_what_says_too_little_or_too_much() {
        let people = ["Ada", "Ben"];
        for text in [
            "",
            "Answer: Ada = knight",
            "Answer: Ada = knight, Ben = knight, Ada = knave",
            "Answer: Ada is not a knight, Ben is a knave",
            "Answer: I do not know.",
            "knight knave",
        ] {
            assert_eq!(kinds(text, &people), None, "{text}");
        }
    }
}

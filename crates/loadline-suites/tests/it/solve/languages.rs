//! Reads the counting story in its own language.

use super::numbers;

/// What the words of a language tell.
struct Words {
    half: &'static str,
    come: [&'static str; 2],
    go: [&'static str; 2],
    also: &'static str,
    divided: &'static str,
    end: &'static str,
    stop: [char; 2],
}

const ENGLISH: Words = Words {
    half: "half of all",
    come: ["more", "boxes arrived"],
    go: ["taken away", "sent from there"],
    also: "also",
    divided: "divided equally",
    end: "In the end",
    stop: ['.', '?'],
};

const HEBREW: Words = Words {
    half: "מחצית",
    come: ["עוד", "ארגזים"],
    go: ["נלקחו", "נשלחו"],
    also: "גם",
    divided: "שווה בשווה",
    end: "בסוף היו",
    stop: ['.', '?'],
};

const CHINESE: Words = Words {
    half: "一半",
    come: ["又运来了", "箱子"],
    go: ["运走了", "送去了"],
    also: "还有",
    divided: "平均分成",
    end: "最后那里有",
    stop: ['。', '？'],
};

pub fn solve(prompt: &str) -> i64 {
    let words = match prompt {
        _ if prompt.contains('。') => CHINESE,
        _ if prompt.contains('ה') => HEBREW,
        _ => ENGLISH,
    };
    let story = prompt.split("\n\n").next().unwrap();
    let (mut start, mut end, mut groups) = (None, None, 1);
    let mut changes = Vec::new();
    for sentence in story.split_inclusive(words.stop) {
        let numbers = numbers(sentence);
        let has = |word: &str| sentence.contains(word);
        match numbers.as_slice() {
            _ if has(words.half) => changes.push(None),
            [] => {}
            [_] if has(words.also) => {}
            [d] if has(words.divided) => groups = *d,
            [v] if has(words.end) => end = Some(*v),
            several if words.go.iter().any(|word| has(word)) => {
                changes.push(Some(-several.iter().product::<i64>()))
            }
            several if words.come.iter().any(|word| has(word)) => {
                changes.push(Some(several.iter().product()))
            }
            [a] => assert!(start.replace(*a).is_none(), "{sentence}"),
            _ => panic!("{sentence}"),
        }
    }
    if let Some(end) = end {
        return changes.iter().rev().fold(end, |value, change| match change {
            Some(by) => value - by,
            None => value * 2,
        });
    }
    let value = changes.iter().fold(start.unwrap(), |value, change| match change {
        Some(by) => value + by,
        None => {
            assert_eq!(value % 2, 0);
            value / 2
        }
    });
    assert!(value > 0 && value % groups == 0, "{story}");
    value / groups
}

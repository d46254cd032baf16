//! Evaluates the expression in the question, with 128 bits.

pub fn solve(prompt: &str) -> i128 {
    let expression = match prompt.split_once("expression:\n\n") {
        Some((_, rest)) => rest.lines().next().unwrap(),
        None => prompt.split_once("What is ").unwrap().1.split('?').next().unwrap(),
    };
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let value = sum(&mut tokens);
    assert!(tokens.is_empty(), "{expression}");
    value
}

fn sum(tokens: &mut Vec<&str>) -> i128 {
    let mut value = product(tokens);
    while let Some(op @ ("+" | "-")) = tokens.last().copied() {
        tokens.pop();
        let right = product(tokens);
        value = if op == "+" { value + right } else { value - right };
    }
    value
}

fn product(tokens: &mut Vec<&str>) -> i128 {
    let mut value = atom(tokens);
    while let Some(op @ ("×" | "mod")) = tokens.last().copied() {
        tokens.pop();
        let right = atom(tokens);
        value = if op == "×" { value * right } else { value.rem_euclid(right) };
    }
    value
}

fn atom(tokens: &mut Vec<&str>) -> i128 {
    match tokens.pop().unwrap() {
        "(" => {
            let value = sum(tokens);
            assert_eq!(tokens.pop(), Some(")"));
            value
        }
        number => number.parse().unwrap(),
    }
}

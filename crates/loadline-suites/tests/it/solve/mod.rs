//! Solvers that know the rules: each reads the question as a model would see it, and nothing else of the sample.

pub mod arithmetic;
pub mod chess;
pub mod instructions;
pub mod knights;
pub mod languages;
pub mod office;
pub mod retrieval;
pub mod rules;
pub mod story;
pub mod tracing;

/// The answer to a question of this suite.
pub fn solve(suite: &str, prompt: &str) -> String {
    match suite {
        "arithmetic" => arithmetic::solve(prompt).to_string(),
        "word-problems" => story::solve(prompt).to_string(),
        "knights-and-knaves" => knights::solve(prompt),
        "program-tracing" => tracing::solve(prompt).to_string(),
        "instructions" => instructions::solve(prompt),
        "retrieval" => retrieval::solve(prompt),
        "languages" => languages::solve(prompt).to_string(),
        "office-tasks" => office::solve(prompt),
        name => rules::solve(name, prompt),
    }
}

/// The numbers in a text, from left to right.
pub fn numbers(text: &str) -> Vec<i64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

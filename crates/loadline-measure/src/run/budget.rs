//! What a run may spend: `--budget 200k-tokens`, `500-requests`, `10m`, or several with commas between.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use loadline_core::untrusted::one_line;

/// What one call of [`measure`](super::measure) may spend. It counts from the start of that call: a resumed run
/// gets a new budget. When it is used up nothing new is started, and what is in flight is waited for, since it is
/// paid for already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Most requests sent, retries included. Never exceeded.
    pub requests: Option<u64>,
    /// Most tokens, read and written together. Exceeded by at most what is in flight.
    pub tokens: Option<u64>,
    /// Longest time in which requests are started.
    pub time: Option<Duration>,
}

/// Why a text is not a budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is not a budget: {why}")]
pub struct BudgetParseError {
    part: String,
    why: &'static str,
}

impl BudgetParseError {
    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        "write a number of requests, tokens or a time: `500-requests`, `200k-tokens`, `90s`, `10m`, `2h`; \
         several go with commas between"
    }
}

impl Budget {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Budget {
    type Err = BudgetParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut budget = Self::default();
        for part in text.split(',').map(str::trim) {
            let fail = |why| BudgetParseError { part: one_line(part, 60), why };
            let (slot_is_taken, unit) = if let Some(number) = part.strip_suffix("-tokens") {
                let tokens = count(number).map_err(fail)?;
                (budget.tokens.replace(tokens).is_some(), "tokens")
            } else if let Some(number) = part.strip_suffix("-requests") {
                let requests = count(number).map_err(fail)?;
                (budget.requests.replace(requests).is_some(), "requests")
            } else {
                let time = duration(part).map_err(fail)?;
                (budget.time.replace(time).is_some(), "time")
            };
            if slot_is_taken {
                let why = match unit {
                    "tokens" => "tokens are given twice",
                    "requests" => "requests are given twice",
                    _ => "a time is given twice",
                };
                return Err(fail(why));
            }
        }
        Ok(budget)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.requests.map(|n| format!("{n}-requests")),
            self.tokens.map(|n| format!("{n}-tokens")),
            self.time.map(|time| format!("{}s", time.as_secs())),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

/// A whole number above 0, with `k` for thousands or `m` for millions.
fn count(text: &str) -> Result<u64, &'static str> {
    let lower = text.to_ascii_lowercase();
    let (digits, factor) = match lower.strip_suffix('k') {
        Some(digits) => (digits, 1_000),
        None => lower.strip_suffix('m').map_or((lower.as_str(), 1), |digits| (digits, 1_000_000)),
    };
    number(digits)?.checked_mul(factor).ok_or("the number is too large")
}

/// A whole number above 0 and `s`, `m` or `h`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    let factor = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err("its unit is missing or unknown"),
    };
    let seconds = number(&text[..text.len() - 1])?.checked_mul(factor).ok_or("the number is too large")?;
    Ok(Duration::from_secs(seconds))
}

fn number(digits: &str) -> Result<u64, &'static str> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("expected a whole number before the unit");
    }
    match digits.parse() {
        Ok(0) => Err("0 would ask nothing"),
        Ok(number) => Ok(number),
        Err(_) => Err("the number is too large"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        let budget: Budget = "200k-tokens, 500-requests,10m".parse().unwrap();
        assert_eq!(budget.tokens, Some(200_000));
        assert_eq!(budget.requests, Some(500));
        assert_eq!(budget.time, Some(Duration::from_secs(600)));
        assert_eq!("2M-tokens".parse::<Budget>().unwrap().tokens, Some(2_000_000));
        assert_eq!("90s".parse::<Budget>().unwrap().time, Some(Duration::from_secs(90)));
        assert_eq!(budget.to_string().parse::<Budget>().unwrap(), budget);
    }

    #[test]
    fn what_is_no_budget_says_why() {
        for (text, why) in [
            ("", "`` is not a budget: its unit is missing or unknown"),
            ("10", "`10` is not a budget: its unit is missing or unknown"),
            ("0-requests", "`0-requests` is not a budget: 0 would ask nothing"),
            ("1.5k-tokens", "`1.5k-tokens` is not a budget: expected a whole number before the unit"),
            ("-5m", "`-5m` is not a budget: expected a whole number before the unit"),
            ("10m,20m", "`20m` is not a budget: a time is given twice"),
            ("99999999999999999999h", "`99999999999999999999h` is not a budget: the number is too large"),
            (
                "18446744073709551615k-tokens",
                "`18446744073709551615k-tokens` is not a budget: the number is too large",
            ),
            ("10м", "`10м` is not a budget: its unit is missing or unknown"),
        ] {
            assert_eq!(text.parse::<Budget>().unwrap_err().to_string(), why);
        }
    }
}

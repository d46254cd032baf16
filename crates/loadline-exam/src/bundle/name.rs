//! The names of the parts, and their order.

use std::fmt;

use loadline_core::RunId;

/// Which part. The order of the variants is the order of the parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartName {
    /// `roots/VERSION.json`: signed root files, from 1.
    Root(u64),
    /// `policy.json`.
    Policy,
    /// `model/manifest.json`.
    Manifest,
    /// `model/compute.json`: the compute declaration.
    Compute,
    /// `rules/ID.json`: a rule pack that scope was judged by.
    Rules(String),
    /// `log/entries/INDEX.json`.
    Entry(u64),
    /// `log/proofs/INDEX.tlog-proof`.
    Proof(u64),
    /// `log/registration.consistency`.
    Consistency,
    /// `exam/attestation.json`.
    Attestation,
    /// `exam/test-result.json`.
    TestResult,
    /// `sign-offs/NUMBER.json`, from 1.
    SignOff(u64),
    /// `drill.json`: the newest drill of the model.
    Drill,
    /// `decision.json`.
    Decision,
    /// `license.json`.
    License,
    /// `svr.json`.
    Svr,
    /// `standing.json`.
    Standing,
    /// `records/NUMBER/seal.json` of a run: numbered from 1, in the order of the attestation.
    Seal(u64, RunId),
    /// `records/NUMBER/log`.
    Log(u64, RunId),
}

impl PartName {
    /// Where it stands. Seal and log of one record stand together.
    pub(crate) fn place(&self) -> (u8, u64, &str, u8) {
        match self {
            Self::Root(version) => (0, *version, "", 0),
            Self::Policy => (1, 0, "", 0),
            Self::Manifest => (2, 0, "", 0),
            Self::Compute => (3, 0, "", 0),
            Self::Rules(id) => (4, 0, id, 0),
            Self::Entry(index) => (5, *index, "", 0),
            Self::Proof(index) => (6, *index, "", 0),
            Self::Consistency => (7, 0, "", 0),
            Self::Attestation => (8, 0, "", 0),
            Self::TestResult => (9, 0, "", 0),
            Self::SignOff(number) => (10, *number, "", 0),
            Self::Drill => (11, 0, "", 0),
            Self::Decision => (12, 0, "", 0),
            Self::License => (13, 0, "", 0),
            Self::Svr => (14, 0, "", 0),
            Self::Standing => (15, 0, "", 0),
            Self::Seal(number, _) => (16, *number, "", 0),
            Self::Log(number, _) => (16, *number, "", 1),
        }
    }

    /// Whether it may be of any size.
    pub(crate) fn is_log(&self) -> bool {
        matches!(self, Self::Log(..))
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(version) => write!(f, "roots/{version}.json"),
            Self::Policy => f.write_str("policy.json"),
            Self::Manifest => f.write_str("model/manifest.json"),
            Self::Compute => f.write_str("model/compute.json"),
            Self::Rules(id) => write!(f, "rules/{id}.json"),
            Self::Entry(index) => write!(f, "log/entries/{index}.json"),
            Self::Proof(index) => write!(f, "log/proofs/{index}.tlog-proof"),
            Self::Consistency => f.write_str("log/registration.consistency"),
            Self::Attestation => f.write_str("exam/attestation.json"),
            Self::TestResult => f.write_str("exam/test-result.json"),
            Self::SignOff(number) => write!(f, "sign-offs/{number}.json"),
            Self::Drill => f.write_str("drill.json"),
            Self::Decision => f.write_str("decision.json"),
            Self::License => f.write_str("license.json"),
            Self::Svr => f.write_str("svr.json"),
            Self::Standing => f.write_str("standing.json"),
            Self::Seal(number, run) => write!(f, "records/{number}-{run}/seal.json"),
            Self::Log(number, run) => write!(f, "records/{number}-{run}/log"),
        }
    }
}

/// Reads a name in its one form.
pub fn parse_name(text: &str) -> Option<PartName> {
    let name = read(text)?;
    (name.to_string() == text).then_some(name)
}

fn read(text: &str) -> Option<PartName> {
    let between = |start: &str, end: &str| text.strip_prefix(start)?.strip_suffix(end);
    let number = |start: &str, end: &str| between(start, end)?.parse::<u64>().ok();
    let fixed = [
        PartName::Policy,
        PartName::Manifest,
        PartName::Compute,
        PartName::Consistency,
        PartName::Attestation,
        PartName::TestResult,
        PartName::Drill,
        PartName::Decision,
        PartName::License,
        PartName::Svr,
        PartName::Standing,
    ];
    if let Some(name) = fixed.into_iter().find(|name| name.to_string() == text) {
        return Some(name);
    }
    let record = |end: &str| {
        let (number, run) = between("records/", end)?.split_once('-')?;
        Some((number.parse::<u64>().ok()?, run.parse::<RunId>().ok()?))
    };
    let rules = |id: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        (!id.is_empty() && id.len() <= 100 && id.bytes().all(plain)).then(|| PartName::Rules(id.to_owned()))
    };
    number("roots/", ".json")
        .map(PartName::Root)
        .or_else(|| between("rules/", ".json").and_then(rules))
        .or_else(|| number("log/entries/", ".json").map(PartName::Entry))
        .or_else(|| number("log/proofs/", ".tlog-proof").map(PartName::Proof))
        .or_else(|| number("sign-offs/", ".json").map(PartName::SignOff))
        .or_else(|| record("/seal.json").map(|(number, run)| PartName::Seal(number, run)))
        .or_else(|| record("/log").map(|(number, run)| PartName::Log(number, run)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        let run = "0123456789abcdef0123456789abcdef";
        for text in [
            "roots/1.json",
            "policy.json",
            "rules/eu-ai-act-1e25.json",
            "log/entries/0.json",
            "log/proofs/12.tlog-proof",
            "sign-offs/3.json",
            &format!("records/1-{run}/seal.json"),
            &format!("records/1-{run}/log"),
        ] {
            assert_eq!(parse_name(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "roots/01.json",
            "roots/+1.json",
            "roots/18446744073709551616.json",
            "policy.json/",
            "../policy.json",
            "rules/.json",
            "rules/a/b.json",
            "rules/A.json",
            "records/1/log",
            &format!("records/1-{}/log", run.to_uppercase()),
        ] {
            assert_eq!(parse_name(text), None, "{text}");
        }
    }
}

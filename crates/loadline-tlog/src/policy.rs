//! Which logs are trusted, and which witnesses must have seen a checkpoint (C2SP tlog-policy).

use std::collections::BTreeMap;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::{Algorithm, KeyError, VerifierKey};
use crate::note::{Note, NoteError, Signed};
use crate::text;

/// The longest policy that is read, in bytes.
pub const MAX_POLICY_BYTES: usize = 1 << 20;
/// The most logs, the most witnesses and the most groups.
pub const MAX_DEFINED: usize = 256;

/// A trust policy: checked, and ready to judge checkpoints.
#[derive(Clone, Debug)]
pub struct Policy {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    quorum: Quorum,
}

/// A log or a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The name in the policy; for a log, its origin.
    pub name: String,
    /// Its public key.
    pub key: VerifierKey,
    /// Where it is, if the policy says so.
    pub url: Option<String>,
}

/// Who must have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Quorum {
    None,
    /// The witness with this number.
    Witness(usize),
    /// At least so many of these.
    Group(usize, Vec<Quorum>),
}

/// A checkpoint that satisfies a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What the log says.
    pub checkpoint: Checkpoint,
    /// The witnesses of the policy that cosigned, by their names there, and when (seconds since 1970). A time of 0
    /// says nothing about when.
    pub witnesses: Vec<(String, u64)>,
}

/// Why a file is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy line {line}: {problem}")]
pub struct PolicyError {
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub problem: PolicyProblem,
}

/// What is wrong with a line of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyProblem {
    /// The file is too long, or has too many logs, witnesses or groups.
    #[error("too much: at most {MAX_POLICY_BYTES} bytes, {MAX_DEFINED} logs, witnesses and groups each")]
    TooMuch,
    /// A control character other than tab and line feed, or not UTF-8.
    #[error("has a character that no policy may have")]
    Character,
    /// The last line does not end.
    #[error("does not end in a line feed, so the file may be cut off")]
    CutOff,
    /// Not `log`, `witness`, `group` or `quorum`, or with the wrong number of words.
    #[error(
        "`{0}` is not `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME all|any|K NAME…` or `quorum NAME`"
    )]
    Line(String),
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A log with a key of another kind than logs have, or a witness that cannot cosign.
    #[error("`{0}` has a key of a type that a {1} cannot have")]
    KeyType(String, &'static str),
    /// The same public key twice.
    #[error("the key of `{0}` stands in the policy already")]
    DuplicateKey(String),
    /// The same name twice, or the name `none`.
    #[error("the name `{0}` is taken")]
    NameTaken(String),
    /// A name that no line before defines.
    #[error("no witness or group `{0}` is defined before this line")]
    Unknown(String),
    /// A name that is a member of a group already.
    #[error("`{0}` is a member of a group already")]
    MemberTwice(String),
    /// A threshold that is not 1 to the number of members.
    #[error("`{found}` of {members} members is no threshold")]
    Threshold {
        /// What stands there.
        found: String,
        /// How many members there are.
        members: usize,
    },
    /// Two quorum lines.
    #[error("a second quorum line")]
    SecondQuorum,
    /// No quorum line.
    #[error("there is no quorum line")]
    NoQuorum,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A signature does not hold, or nobody known signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No log of the policy has this origin.
    #[error("the policy does not know a log `{0}`")]
    UnknownLog(String),
    /// The log did not sign.
    #[error("the log `{0}` did not sign this checkpoint")]
    NotByLog(String),
    /// Not enough witnesses.
    #[error("too few witnesses: {} cosigned, which does not make the quorum", if .0.is_empty() { "nobody".to_owned() } else { .0.join(", ") })]
    Quorum(Vec<String>),
}

impl Refused {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Note(error) => error.hint(),
            Self::Checkpoint(error) => error.hint(),
            Self::UnknownLog(_) => "add the log's key to the policy, if you trust it",
            Self::NotByLog(_) => "a checkpoint counts only with the signature of the log that it names",
            Self::Quorum(_) => "fetch a newer checkpoint: more witnesses may have cosigned it by now",
        }
    }
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// With the number of the first line that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let whole = check_characters(bytes)?;
        let mut reader = Reader::default();
        for (index, line) in whole.lines().enumerate() {
            reader.line(line).map_err(|problem| PolicyError { line: index + 1, problem })?;
        }
        let quorum = reader.quorum.ok_or(PolicyError { line: 0, problem: PolicyProblem::NoQuorum })?;
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, quorum })
    }

    /// The policy that trusts one log without witnesses.
    pub fn of_log(key: VerifierKey) -> Self {
        let log = Party { name: key.name().to_owned(), key, url: None };
        Self { logs: vec![log], witnesses: Vec::new(), quorum: Quorum::None }
    }

    /// The logs.
    pub fn logs(&self) -> &[Party] {
        &self.logs
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[Party] {
        &self.witnesses
    }

    /// Whether these witnesses, by their names in the policy, make the quorum.
    pub fn is_quorum(&self, witnesses: &[&str]) -> bool {
        let cosigned = |party: &Party| witnesses.contains(&party.name.as_str()).then_some(0);
        self.quorum.is_met(&self.witnesses.iter().map(cosigned).collect::<Vec<_>>())
    }

    /// Judges a signed checkpoint. It must be signed by the log that it names, every signature of a known key must
    /// hold, and the witnesses must make the quorum.
    ///
    /// # Errors
    /// When any of this is not so.
    pub fn check(&self, note: &Note) -> Result<Accepted, Refused> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let origin = checkpoint.origin();
        let logs: Vec<&VerifierKey> =
            self.logs.iter().filter(|log| log.name == origin).map(|log| &log.key).collect();
        if logs.is_empty() {
            return Err(Refused::UnknownLog(text::excerpt(origin)));
        }
        let witnesses = self.witnesses.iter().map(|witness| &witness.key);
        let signed = note.verify(logs.iter().copied().chain(witnesses))?;
        if !signed.iter().any(|signed| logs.contains(&signed.key)) {
            return Err(Refused::NotByLog(text::excerpt(origin)));
        }
        let times: Vec<Option<u64>> =
            self.witnesses.iter().map(|witness| time_of(&signed, witness)).collect();
        let cosigned = self.witnesses.iter().zip(&times);
        let cosigned: Vec<(String, u64)> =
            cosigned.filter_map(|(witness, time)| Some((witness.name.clone(), (*time)?))).collect();
        if self.quorum.is_met(&times) {
            return Ok(Accepted { checkpoint, witnesses: cosigned });
        }
        Err(Refused::Quorum(cosigned.into_iter().map(|(name, _)| text::excerpt(&name)).collect()))
    }
}

fn time_of(signed: &[Signed<'_>], witness: &Party) -> Option<u64> {
    signed.iter().find(|signed| *signed.key == witness.key)?.time
}

impl Quorum {
    /// Whether it is met, given for each witness the time at which it cosigned.
    fn is_met(&self, times: &[Option<u64>]) -> bool {
        match self {
            Self::None => true,
            Self::Witness(number) => times.get(*number).is_some_and(Option::is_some),
            Self::Group(threshold, members) => {
                members.iter().filter(|member| member.is_met(times)).count() >= *threshold
            }
        }
    }
}

fn check_characters(bytes: &[u8]) -> Result<&str, PolicyError> {
    let whole = |problem| PolicyError { line: 0, problem };
    if bytes.len() > MAX_POLICY_BYTES {
        return Err(whole(PolicyProblem::TooMuch));
    }
    let line_of = |at: usize| 1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
    let bad = |byte: &u8| (*byte < b' ' && !matches!(byte, b'\t' | b'\n')) || *byte == 0x7f;
    if let Some(at) = bytes.iter().position(bad) {
        return Err(PolicyError { line: line_of(at), problem: PolicyProblem::Character });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| PolicyError {
        line: line_of(error.valid_up_to()),
        problem: PolicyProblem::Character,
    })?;
    if text.is_empty() || text.ends_with('\n') {
        return Ok(text);
    }
    Err(PolicyError { line: line_of(bytes.len()), problem: PolicyProblem::CutOff })
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    /// Witnesses and groups, and whether each is a member of a group already.
    names: BTreeMap<String, (Quorum, bool)>,
    groups: usize,
    quorum: Option<Quorum>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), PolicyProblem> {
        // ASCII space and tab only: no other white space parts words.
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", vkey] => self.log(vkey, None),
            ["log", vkey, url] => self.log(vkey, Some(url)),
            ["witness", name, vkey] => self.witness(name, vkey, None),
            ["witness", name, vkey, url] => self.witness(name, vkey, Some(url)),
            ["group", name, threshold, members @ ..] if !members.is_empty() => {
                self.group(name, threshold, members)
            }
            ["quorum", name] => self.set_quorum(name),
            _ => Err(PolicyProblem::Line(text::excerpt(line))),
        }
    }

    fn log(&mut self, vkey: &str, url: Option<&str>) -> Result<(), PolicyProblem> {
        let key = VerifierKey::parse(vkey)?;
        let name = key.name().to_owned();
        self.check_new_key(&key)?;
        limit(self.logs.len())?;
        self.logs.push(Party { name, key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn witness(&mut self, name: &str, vkey: &str, url: Option<&str>) -> Result<(), PolicyProblem> {
        let key = VerifierKey::parse(vkey)?;
        if key.algorithm() == Algorithm::Ed25519 {
            return Err(PolicyProblem::KeyType(text::excerpt(name), "witness"));
        }
        self.check_new_key(&key)?;
        limit(self.witnesses.len())?;
        self.define(name, Quorum::Witness(self.witnesses.len()))?;
        self.witnesses.push(Party { name: name.to_owned(), key, url: url.map(str::to_owned) });
        Ok(())
    }

    /// The specification forbids a key twice among the logs and twice among the witnesses. A log that is its own
    /// witness would make the quorum say less than it seems to, so that is refused too.
    fn check_new_key(&self, key: &VerifierKey) -> Result<(), PolicyProblem> {
        let twin = self.logs.iter().chain(&self.witnesses).any(|party| party.key.public() == key.public());
        if twin { Err(PolicyProblem::DuplicateKey(text::excerpt(key.name()))) } else { Ok(()) }
    }

    fn define(&mut self, name: &str, quorum: Quorum) -> Result<(), PolicyProblem> {
        if name == "none" || self.names.contains_key(name) {
            return Err(PolicyProblem::NameTaken(text::excerpt(name)));
        }
        self.names.insert(name.to_owned(), (quorum, false));
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), PolicyProblem> {
        limit(self.groups)?;
        let count = match threshold {
            "all" => Some(members.len()),
            "any" => Some(1),
            number => text::decimal(number).and_then(|number| usize::try_from(number).ok()),
        };
        let count = count.filter(|count| (1..=members.len()).contains(count)).ok_or_else(|| {
            PolicyProblem::Threshold { found: text::excerpt(threshold), members: members.len() }
        })?;
        let mut inside = Vec::new();
        for member in members {
            let (quorum, is_member) =
                self.names.get_mut(*member).ok_or_else(|| PolicyProblem::Unknown(text::excerpt(member)))?;
            if std::mem::replace(is_member, true) {
                return Err(PolicyProblem::MemberTwice(text::excerpt(member)));
            }
            inside.push(quorum.clone());
        }
        self.groups += 1;
        self.define(name, Quorum::Group(count, inside))
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), PolicyProblem> {
        if self.quorum.is_some() {
            return Err(PolicyProblem::SecondQuorum);
        }
        let quorum = match self.names.get(name) {
            _ if name == "none" => Quorum::None,
            Some((quorum, _)) => quorum.clone(),
            None => return Err(PolicyProblem::Unknown(text::excerpt(name))),
        };
        self.quorum = Some(quorum);
        Ok(())
    }
}

fn limit(defined: usize) -> Result<(), PolicyProblem> {
    if defined < MAX_DEFINED { Ok(()) } else { Err(PolicyProblem::TooMuch) }
}

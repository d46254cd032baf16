//! The rules of a programme: one TOML file, `loadline-access/1`, checked as a whole. `docs/formats/access.md` is its page.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_gate::config::{self, AdminConfig};
use loadline_gate::disk;
use loadline_gate::ledger::Limits;
use loadline_policy::document::{self, Reader};
use loadline_policy::policy::Stage;
use loadline_policy::{Named, Problems};
use loadline_trust::{PublicKey, published};

/// `format` of the file.
pub const PROGRAMME_FORMAT: &str = "loadline-access/1";
/// The largest file of a public key.
const MAX_KEY_BYTES: usize = 64 << 10;
/// The longest term, and the longest time for a step, in days.
const MOST_DAYS: u64 = 3_660;

/// The whole file.
#[derive(Clone, Debug)]
pub struct Programme {
    /// The programme's name, a URL without scheme: everything that is signed carries it.
    pub name: String,
    /// The folder of its log.
    pub state: PathBuf,
    /// Where `serve` listens.
    pub listen: SocketAddr,
    /// The operator's own door.
    pub admin: Option<AdminConfig>,
    /// The file of the gate's keys that grants go to.
    pub keys: PathBuf,
    /// The folder of the gate's audit log, which says what grants have used.
    pub audit: Option<PathBuf>,
    /// The role of those keys.
    pub role: String,
    /// From this text follows who reviews what; published before the first round opens.
    pub seed: String,
    /// How many reviews must agree.
    pub agree: usize,
    /// Days for a review; what takes longer is overdue.
    pub review_days: u64,
    /// Days in which a rejection can be appealed against.
    pub appeal_days: u64,
    /// Requests that `serve` takes in a minute, from all together.
    pub requests_per_minute: u64,
    /// Whether a key alone is an identity.
    pub identity: KeyIdentity,
    /// Keys that somebody vouched for.
    pub listed: Vec<PublicKey>,
    /// Who else vouches for people.
    pub issuers: Vec<Issuer>,
    /// What anonymous tokens are good for; there are none without it.
    pub tokens: Option<Level>,
    /// When applications are taken, and how many places there are.
    pub rounds: Vec<Round>,
    /// What can be asked for.
    pub levels: Vec<Level>,
    /// Who reviews.
    pub reviewers: Vec<Reviewer>,
    /// Which public randomness decides a lottery, in words; without it the log's checkpoint alone does.
    pub beacon: Option<String>,
    /// SHA-256 of the text.
    pub digest: Digest,
}

/// Whether a key alone is an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyIdentity {
    /// Any key: whoever makes two keys is two people.
    Any,
    /// Keys that the programme lists.
    Listed,
    /// None: an issuer must vouch for everybody.
    None,
}

impl Named for KeyIdentity {
    const ALL: &'static [Self] = &[Self::Any, Self::Listed, Self::None];

    fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Listed => "listed",
            Self::None => "none",
        }
    }
}

/// Who vouches for people: an issuer of ID tokens (OpenID Connect).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its URL, as `iss` has it.
    pub url: String,
    /// This programme's name there, as `aud` has it.
    pub audience: String,
    /// A file with its keys (JWKS); without one they are fetched from it.
    pub jwks: Option<PathBuf>,
}

/// When applications are taken, and how many places there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Its name.
    pub name: String,
    /// First moment.
    pub opens: Instant,
    /// Last moment.
    pub closes: Instant,
    /// How many are admitted.
    pub places: usize,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its name.
    pub name: String,
    /// These stages; all that the role may use when empty.
    pub stages: Vec<Stage>,
    /// These models; all when empty.
    pub models: Vec<String>,
    /// The longest term, in days.
    pub days: u64,
    /// Limits of the quota.
    pub limits: Limits,
}

/// Who reviews.
#[derive(Clone, Debug)]
pub struct Reviewer {
    /// The key that signs reviews; its name is the reviewer's.
    pub key: PublicKey,
    /// The domain of the institution.
    pub affiliation: String,
    /// Domains whose applications this reviewer never gets, besides the own one.
    pub conflicts: Vec<String>,
}

impl Reviewer {
    /// The name.
    pub fn name(&self) -> &str {
        self.key.name()
    }
}

impl Programme {
    /// The level of that name.
    pub fn level(&self, name: &str) -> Option<&Level> {
        self.levels.iter().find(|level| level.name == name)
    }

    /// The round of that name.
    pub fn round(&self, name: &str) -> Option<&Round> {
        self.rounds.iter().find(|round| round.name == name)
    }

    /// The round that takes applications at a moment.
    pub fn open_round(&self, now: Instant) -> Option<&Round> {
        self.rounds.iter().find(|round| round.opens <= now && now <= round.closes)
    }

    /// The reviewer of that name.
    pub fn reviewer(&self, name: &str) -> Option<&Reviewer> {
        self.reviewers.iter().find(|reviewer| reviewer.name() == name)
    }
}

/// Reads a programme and the public keys that it names. Paths in it are relative to `folder`.
///
/// # Errors
/// Everything that is wrong, in the order of the lines.
pub fn parse(text: &str, folder: &Path) -> Result<Programme, Problems> {
    document::read(text, |root| build(root, text, folder))
}

fn build(root: &Reader<'_, '_>, text: &str, folder: &Path) -> Programme {
    root.format(PROGRAMME_FORMAT);
    let name = root.name("name");
    if name.contains("//") || name.starts_with('/') {
        root.problem("name", "is not a URL without scheme", "for example `example.org/access`");
    }
    let listen = root.text_if("listen").unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listen = listen.parse().unwrap_or_else(|_| {
        let message = format!("`{}` is not an address", one_line(&listen, 60));
        root.problem("listen", message, "an IP address and a port, such as `127.0.0.1:8040`");
        SocketAddr::from(([127, 0, 0, 1], 0))
    });
    let reviewers: Vec<_> =
        root.tables("reviewer").iter().filter_map(|table| reviewer(table, folder)).collect();
    let levels: Vec<_> = root.tables("level").iter().map(|table| level(table, table.name("name"))).collect();
    let issuers: Vec<_> = root.tables("issuer").iter().map(|table| issuer(table, folder)).collect();
    unique(root, "issuer", issuers.iter().map(|issuer| issuer.url.as_str()));
    let tokens = root.table_if("tokens").map(|table| level(&table, "tokens".to_owned()));
    let rounds: Vec<_> = root.tables("round").iter().map(round).collect();
    let agree = usize::try_from(root.count_if("agree", 1, 9).unwrap_or(2)).unwrap_or(2);
    if reviewers.len() < agree {
        let message = format!("{} reviewers, and {agree} must agree", reviewers.len());
        root.problem(
            "reviewer",
            message,
            "add reviewers, some more for conflicts, third opinions and appeals",
        );
    }
    unique(root, "reviewer", reviewers.iter().map(Reviewer::name));
    unique(root, "level", levels.iter().map(|level| level.name.as_str()));
    unique(root, "round", rounds.iter().map(|round| round.name.as_str()));
    for pair in rounds.windows(2) {
        if pair[1].opens <= pair[0].closes {
            let message = format!("`{}` opens before `{}` has closed", pair[1].name, pair[0].name);
            root.problem("round", message, "one round after the other, the first first");
        }
    }
    for (key, empty) in [("level", levels.is_empty()), ("round", rounds.is_empty())] {
        if empty {
            root.problem(key, "there is none", format!("add one under `[[{key}]]`"));
        }
    }
    let days = |key, default| root.count_if(key, 1, MOST_DAYS).unwrap_or(default);
    let (review_days, appeal_days) = (days("review_days", 14), days("appeal_days", 30));
    let (identity, listed) = identity(root, folder);
    Programme {
        name,
        state: folder.join(root.text("state")),
        listen,
        admin: root.table_if("admin").map(|table| config::admin(&table, listen)),
        keys: folder.join(root.text("keys")),
        audit: root.text_if("audit").map(|path| folder.join(path)),
        role: root.name("role"),
        seed: root.text("seed"),
        agree,
        review_days,
        appeal_days,
        requests_per_minute: root.count_if("requests_per_minute", 1, 1_000_000).unwrap_or(120),
        identity,
        listed,
        issuers,
        tokens,
        rounds,
        levels,
        reviewers,
        beacon: root.text_if("beacon"),
        digest: Digest::of(text.as_bytes()),
    }
}

fn identity(root: &Reader<'_, '_>, folder: &Path) -> (KeyIdentity, Vec<PublicKey>) {
    let Some(table) = root.table_if("identity") else { return (KeyIdentity::None, Vec::new()) };
    let kind = table.choice::<KeyIdentity>("keys");
    let paths = table.texts("listed");
    if (kind == KeyIdentity::Listed) == paths.is_empty() {
        let hint = "`keys = \"listed\"` goes with `listed = [\"NAME.pub.json\"]`";
        table.problem("listed", "does not fit `keys`", hint);
    }
    let keys = paths.iter().filter_map(|path| public_key(&table, "listed", &folder.join(path))).collect();
    (kind, keys)
}

fn public_key(table: &Reader<'_, '_>, key: &'static str, path: &Path) -> Option<PublicKey> {
    let wrong = |why: String, hint: &str| table.problem(key, format!("`{}`: {why}", path.display()), hint);
    match disk::read(path, MAX_KEY_BYTES) {
        Ok(Some(bytes)) => {
            published::read(&bytes).map_err(|error| wrong(error.to_string(), error.hint())).ok()
        }
        Ok(None) => {
            wrong("there is no such file".to_owned(), "`loadline key new` makes keys");
            None
        }
        Err(error) => {
            wrong(error.to_string(), "the file of a public key has about 6,000 bytes");
            None
        }
    }
}

fn reviewer(table: &Reader<'_, '_>, folder: &Path) -> Option<Reviewer> {
    let path = folder.join(table.text("key"));
    let affiliation = domain(table, "affiliation", &table.text("affiliation"));
    let conflicts = table.texts("conflicts");
    let conflicts = conflicts.iter().map(|text| domain(table, "conflicts", text)).collect();
    Some(Reviewer { key: public_key(table, "key", &path)?, affiliation, conflicts })
}

fn domain(table: &Reader<'_, '_>, key: &'static str, text: &str) -> String {
    if !text.is_empty() && !is_domain(text) {
        let message = format!("`{}` is not a domain", one_line(text, 60));
        table.problem(key, message, "in lower case, such as `uni.example`");
    }
    text.to_owned()
}

fn round(table: &Reader<'_, '_>) -> Round {
    let (opens, closes) = (instant(table, "opens"), instant(table, "closes"));
    if closes < opens {
        table.problem("closes", "is before `opens`", "");
    }
    let places = usize::try_from(table.count("places", 1, 100_000)).unwrap_or(usize::MAX);
    Round { name: table.name("name"), opens, closes, places }
}

fn instant(table: &Reader<'_, '_>, key: &'static str) -> Instant {
    let text = table.text(key);
    text.parse().unwrap_or_else(|_| {
        if !text.is_empty() {
            let message = format!("`{}` is not a moment", one_line(&text, 40));
            table.problem(key, message, "in UTC, such as `\"2026-12-01T00:00:00Z\"`");
        }
        Instant::EPOCH
    })
}

fn issuer(table: &Reader<'_, '_>, folder: &Path) -> Issuer {
    let url = table.text("url");
    let near = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
    let private = near.iter().any(|start| url.starts_with(start));
    if !url.is_empty() && !url.starts_with("https://") && !private {
        let message = format!("`{}` is not an issuer", one_line(&url, 60));
        table.problem("url", message, "the issuer's URL as its tokens have it, with `https://`");
    }
    let jwks = table.text_if("jwks").map(|path| folder.join(path));
    Issuer { url, audience: table.text("audience"), jwks }
}

fn level(table: &Reader<'_, '_>, name: String) -> Level {
    Level {
        name,
        stages: table.choices("stages"),
        models: table.texts("models"),
        days: table.count("days", 1, MOST_DAYS),
        limits: limits(table),
    }
}

/// The limits of a quota, as keys of a table.
pub(crate) fn limits(table: &Reader<'_, '_>) -> Limits {
    let limit = |key| table.count_if(key, 1, 1 << 53);
    Limits {
        requests_per_minute: limit("requests_per_minute"),
        tokens_per_minute: limit("tokens_per_minute"),
        tokens_per_day: limit("tokens_per_day"),
        tokens_per_term: limit("tokens_per_term"),
    }
}

fn unique<'n>(root: &Reader<'_, '_>, key: &str, names: impl Iterator<Item = &'n str>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            root.problem(key, format!("two are named `{}`", one_line(name, 60)), "give each its own name");
        }
    }
}

/// Whether a text is a domain in its one form: lower case, at least two labels.
pub fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

/// Whether two domains are of one institution: equal, or one below the other.
pub fn related(a: &str, b: &str) -> bool {
    let below = |low: &str, high: &str| low.strip_suffix(high).is_some_and(|rest| rest.ends_with('.'));
    a == b || below(a, b) || below(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_have_one_form_and_know_their_kin() {
        assert!(is_domain("uni.example") && is_domain("a-b.c.example"));
        for bad in ["", "uni", "Uni.example", "uni..example", "-a.example", "uni.example.", "a b.example"] {
            assert!(!is_domain(bad), "{bad}");
        }
        assert!(related("uni.example", "cs.uni.example") && related("cs.uni.example", "uni.example"));
        assert!(!related("uni.example", "notuni.example") && !related("a.example", "b.example"));
    }
}

//! The lottery: more are accepted than there are places. The order follows from public values by a hash, so anybody can
//! draw again.

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_tlog::{Checkpoint, Note, VerifierKey};
use serde::{Deserialize, Serialize};

use crate::book::Draw;

/// `format` of a draw as it is published.
pub const LOTTERY_FORMAT: &str = "loadline-access-lottery/1";
/// The longest value of a beacon, in characters.
pub const MAX_BEACON_CHARS: usize = 256;

/// A draw as it is published: everything that the order follows from, and the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lottery {
    /// [`LOTTERY_FORMAT`].
    pub format: String,
    /// The programme.
    pub programme: String,
    /// The round.
    pub round: String,
    /// How many places.
    pub places: u64,
    /// The log's signed checkpoint right before the draw: it binds every decision.
    pub checkpoint: String,
    /// Which public randomness the programme had announced, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<String>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beacon: Option<String>,
    /// All accepted applications, the first drawn first.
    pub order: Vec<String>,
}

/// Puts accepted applications in the order in which they get places.
///
/// The rank of an application is SHA-256 over the seed and its id; the seed is SHA-256 over the names, the checkpoint's
/// size and root, and the beacon's value.
pub fn draw(
    programme: &str,
    round: &str,
    checkpoint: &Checkpoint,
    beacon: Option<&str>,
    mut accepted: Vec<String>,
) -> Vec<String> {
    let seed = Digest::of_parts(
        "loadline/access/lottery-seed/1",
        &[
            programme.as_bytes(),
            round.as_bytes(),
            &checkpoint.size().to_be_bytes(),
            checkpoint.root(),
            beacon.unwrap_or_default().as_bytes(),
        ],
    );
    accepted.sort_by_key(|id| Digest::of_parts("loadline/access/lottery/1", &[&seed.0, id.as_bytes()]));
    accepted
}

/// The checkpoint in a signed note.
///
/// # Errors
/// In words, when it is none.
pub fn checkpoint(note: &str) -> Result<Checkpoint, String> {
    let note = Note::parse(note.as_bytes()).map_err(|error| error.to_string())?;
    Checkpoint::parse(note.text()).map_err(|error| error.to_string())
}

impl Lottery {
    /// A draw, to be published.
    pub fn of(programme: &str, round: &str, announced: Option<&str>, draw: &Draw) -> Self {
        Self {
            format: LOTTERY_FORMAT.to_owned(),
            programme: programme.to_owned(),
            round: round.to_owned(),
            places: draw.places,
            checkpoint: draw.checkpoint.clone(),
            announced: announced.map(str::to_owned),
            beacon: draw.beacon.clone(),
            order: draw.order.clone(),
        }
    }

    /// Draws again, and compares. With the public key of the log, its checkpoint is checked too.
    ///
    /// # Errors
    /// In words, what does not hold.
    pub fn verify(&self, log: Option<&VerifierKey>) -> Result<(), String> {
        if self.format != LOTTERY_FORMAT {
            return Err(format!("`format` is `{}`, not `{LOTTERY_FORMAT}`", one_line(&self.format, 40)));
        }
        let note = Note::parse(self.checkpoint.as_bytes()).map_err(|error| error.to_string())?;
        if let Some(key) = log {
            note.verify([key]).map_err(|error| error.to_string())?;
        }
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        if checkpoint.origin() != self.programme {
            return Err(format!("the checkpoint is of the log `{}`", one_line(checkpoint.origin(), 80)));
        }
        if self.announced.is_some() != self.beacon.is_some() {
            return Err(
                "a public randomness was announced, and its value is not given, or the other way".to_owned()
            );
        }
        let mut ids = self.order.clone();
        ids.sort();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("an application was drawn twice".to_owned());
        }
        let again = draw(&self.programme, &self.round, &checkpoint, self.beacon.as_deref(), ids);
        match again.iter().zip(&self.order).position(|(again, drawn)| again != drawn) {
            None => Ok(()),
            Some(at) => Err(format!("place {} is not of the application that was drawn for it", at + 1)),
        }
    }
}

//! What the host puts in: three parts of limited size.

use crate::Refusal;

/// The part that is the bundle.
pub const BUNDLE: u32 = 0;
/// The part that is the options, as JSON.
pub const OPTIONS: u32 = 1;
/// The part that is a fresh standing, as its file has it. May be left out.
pub const STANDING: u32 = 2;

/// The whole bundle is in memory, of which a module has 4 GiB at most.
pub const MOST_BUNDLE_BYTES: usize = 1 << 30;
/// A moment, a digest and a choice are far smaller.
pub const MOST_OPTIONS_BYTES: usize = 4 << 10;
/// As for `loadline-verify`.
pub const MOST_STANDING_BYTES: usize = 4 << 20;

/// What is put in.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The bundle.
    pub bundle: Option<Vec<u8>>,
    /// The options.
    pub options: Vec<u8>,
    /// A fresh standing.
    pub standing: Option<Vec<u8>>,
}

impl Inputs {
    /// Nothing yet.
    pub const EMPTY: Self = Self { bundle: None, options: Vec::new(), standing: None };

    /// Makes room for a part, instead of what it was before. It is zeros until the host writes into it.
    ///
    /// # Errors
    /// When there is no such part, or it is too large.
    pub fn room(&mut self, part: u32, bytes: usize) -> Result<&mut [u8], Refusal> {
        let (name, most) = match part {
            BUNDLE => ("bundle", MOST_BUNDLE_BYTES),
            OPTIONS => ("options", MOST_OPTIONS_BYTES),
            STANDING => ("standing", MOST_STANDING_BYTES),
            _ => {
                return Err(Refusal::new(
                    format!("there is no part {part}"),
                    "0 is the bundle, 1 the options, 2 the standing",
                ));
            }
        };
        let refused = |why: String| {
            Refusal::new(
                format!("{name} of {bytes} bytes: {why}"),
                "`loadline-verify` reads a bundle of any size from a file",
            )
        };
        if bytes > most {
            return Err(refused(format!("at most {most} are accepted here")));
        }
        let mut room = Vec::new();
        room.try_reserve_exact(bytes).map_err(|error| refused(error.to_string()))?;
        room.resize(bytes, 0);
        Ok(match part {
            OPTIONS => {
                self.options = room;
                &mut self.options
            }
            STANDING => self.standing.insert(room),
            _ => self.bundle.insert(room),
        })
    }
}

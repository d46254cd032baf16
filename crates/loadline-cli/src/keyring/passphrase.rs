//! Where a passphrase comes from.

use std::path::PathBuf;

use loadline_core::Secret;
use loadline_core::untrusted::one_line;
use zeroize::Zeroizing;

use super::{MAX_FILE_BYTES, slurp};
use crate::exit::Exit;
use crate::failure::Failure;

/// Where a passphrase comes from: a file, the environment, or the terminal.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PassphraseArgs {
    /// Read the passphrase from the first line of this file (else: `LOADLINE_PASSPHRASE`, else: asked for)
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// The shortest passphrase of a new key, in characters.
const SHORTEST_NEW: usize = 8;

impl PassphraseArgs {
    /// The passphrase that opens keys.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self) -> Result<Secret, Failure> {
        self.ask(false)
    }

    /// The passphrase for new keys: at least eight characters, asked for twice at a terminal.
    ///
    /// # Errors
    /// When there is none, it is too short, or the two differ.
    pub fn get_new(&self) -> Result<Secret, Failure> {
        let passphrase = self.ask(true)?;
        if passphrase.expose().chars().count() < SHORTEST_NEW {
            let message = format!("the passphrase has fewer than {SHORTEST_NEW} characters");
            return Err(Failure::new(Exit::Usage, message).hint("take several words"));
        }
        Ok(passphrase)
    }

    fn ask(&self, twice: bool) -> Result<Secret, Failure> {
        if let Some(path) = &self.passphrase_file {
            let bytes = slurp(path, MAX_FILE_BYTES).map_err(|error| {
                Failure::from(error).hint("give a file that has the passphrase in its first line")
            })?;
            let bytes = Zeroizing::new(bytes);
            let name = format!("the passphrase file `{}`", one_line(&path.display().to_string(), 200));
            let text = std::str::from_utf8(&bytes).map_err(|_| none(&format!("{name} is not UTF-8")))?;
            let line = text.lines().next().unwrap_or_default();
            return some(line, &format!("the first line of {name}"));
        }
        if let Some(text) = std::env::var_os("LOADLINE_PASSPHRASE") {
            let text = text.into_string().map_err(|_| none("`LOADLINE_PASSPHRASE` is not UTF-8"))?;
            return some(&Zeroizing::new(text), "`LOADLINE_PASSPHRASE`");
        }
        let first = prompt("Passphrase: ")?;
        if twice && prompt("Again: ")? != first {
            return Err(none("the two passphrases differ"));
        }
        Ok(first)
    }
}

fn none(message: &str) -> Failure {
    Failure::new(Exit::Usage, message)
        .hint("set `LOADLINE_PASSPHRASE`, or give `--passphrase-file FILE`, or run at a terminal")
}

/// The passphrase `text`, which was read from `source`.
fn some(text: &str, source: &str) -> Result<Secret, Failure> {
    if text.is_empty() { Err(none(&format!("{source} is empty"))) } else { Ok(Secret::new(text)) }
}

fn prompt(text: &str) -> Result<Secret, Failure> {
    let answer = rpassword::prompt_password(text).map(Zeroizing::new).map_err(|error| {
        none("there is no passphrase, and no terminal to ask for one")
            .cause(one_line(&error.to_string(), 200))
    })?;
    some(&answer, "the passphrase")
}

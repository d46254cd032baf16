//! An authority at work: its folder is locked, its roots are checked, its log is read.

use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::{Digest, Instant, Secret};
use loadline_exam::{Entry, Witnessed};
use loadline_policy::Policy;
use loadline_tlog::disk::{RealDisk, WitnessFolder};
use loadline_tlog::witness::{KnownLog, Witness};
use loadline_trust::{Role, Root, RootChain, SecretKey};

use super::folder::{self, Folder};
use super::found::{self, Founding, LOG_KEY, key_name};
use super::history::History;
use super::journal::Journal;
use super::publish::{LocalWitness, disk_failure};
use super::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{self, Keyring, PassphraseArgs, StoredKey};
use crate::ui::{Ui, count};

/// File of the key, in the folder of a witness.
pub const WITNESS_KEY: &str = "witness.age";
/// Folder of what it cosigned, in the folder of a witness.
pub const WITNESS_STORE: &str = "store";

/// Which authority, and what opens its keys.
#[derive(Clone, Debug, clap::Args)]
pub struct OfficeArgs {
    /// Folder of the authority
    #[arg(long, value_name = "DIR", env = "LOADLINE_AUTHORITY", default_value = "authority")]
    pub authority: PathBuf,

    /// Folder of a witness on this machine (`witness.age` and `store`), which the same passphrase opens (repeatable)
    #[arg(long, value_name = "DIR", env = "LOADLINE_WITNESS", value_delimiter = ':')]
    pub witness: Vec<PathBuf>,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Founds an authority in a folder, and makes its log. An authority whose founding was cut off gets its log.
///
/// # Errors
/// When there is one already, the options do not make a root, or the disk refuses.
pub fn establish(path: &Path, founding: &Founding, keyring: &Keyring, now: Instant) -> Result<RootChain> {
    let folder = Folder::new(path);
    let is_cut_off = roots::path(path, 1).exists() && !folder.log().join("head").exists();
    let chain =
        if is_cut_off { roots::chain(path, None)? } else { found::found(path, founding, keyring, now)? };
    let _one_at_a_time = folder.lock()?;
    Journal::create(&folder, &chain, &keyring.open_note(LOG_KEY)?)?;
    Ok(chain)
}

/// An authority's folder, open and locked.
pub struct Office {
    /// Where everything is.
    pub folder: Folder,
    /// Its roots.
    pub chain: RootChain,
    /// Its log.
    pub journal: Journal,
    /// What the log says.
    pub history: History,
    /// Now.
    pub now: Instant,
    args: OfficeArgs,
    passphrase: OnceCell<Secret>,
    _lock: File,
}

impl Office {
    /// Opens an authority's folder. No secret is needed until something is signed.
    ///
    /// # Errors
    /// When there is none, its newest root does not count now, its log is damaged, or another process is at it.
    pub fn open(args: &OfficeArgs) -> Result<Self> {
        let (folder, now) = (Folder::new(&args.authority), roots::now()?);
        let chain = roots::current(folder.path(), now)?;
        let lock = folder.lock()?;
        let journal = Journal::open(&folder, &chain)?;
        let history = History::new(journal.entries()?);
        let (args, passphrase) = (args.clone(), OnceCell::new());
        let office = Self { folder, chain, journal, history, now, args, passphrase, _lock: lock };
        office.check_roots()?;
        Ok(office)
    }

    /// What the log says of the roots must be what is in the folder.
    fn check_roots(&self) -> Result<()> {
        for entry in self.history.entries() {
            if let Entry::Root(root) = entry
                && self.chain.digest(root.version) != Some(root.digest)
            {
                return Err(folder::not_as_written(&roots::path(self.folder.path(), root.version))
                    .cause("the log names another root of this version"));
            }
        }
        Ok(())
    }

    /// The root that was in force right before an entry of the log; now, without one.
    ///
    /// # Errors
    /// When the log names none.
    pub fn root_at(&self, index: Option<u64>) -> Result<&Root> {
        let Some(index) = index else { return Ok(self.chain.current()) };
        let before = self.history.iter().take_while(|(at, _)| *at < index);
        let version = before.filter_map(|(_, entry)| match entry {
            Entry::Root(root) => Some(root.version),
            _ => None,
        });
        version.last().and_then(|version| self.chain.version(version)).ok_or_else(|| {
            Failure::new(
                Exit::EvidenceInvalid,
                format!("no root was in force before entry {index} of the log"),
            )
        })
    }

    fn passphrase(&self) -> Result<Secret> {
        if let Some(known) = self.passphrase.get() {
            return Ok(known.clone());
        }
        let passphrase = self.args.passphrase.get()?;
        Ok(self.passphrase.get_or_init(|| passphrase).clone())
    }

    fn keyring(&self) -> Result<Keyring> {
        Ok(Keyring::new(roots::keys(self.folder.path()), self.passphrase()?))
    }

    /// The secret key of a role: the first of its holders whose file is here.
    ///
    /// # Errors
    /// When none is, the passphrase does not open it, or it is another key than the root names.
    pub fn key(&self, role: Role) -> Result<SecretKey> {
        let keyring = self.keyring()?;
        let mut holders = self.chain.current().holders(role);
        let Some(holder) = holders.find(|holder| keyring.path(holder.name()).exists()) else {
            let message =
                format!("no key of role `{role}` is in `{}`", roots::keys(self.folder.path()).display());
            return Err(Failure::new(Exit::Usage, message)
                .hint(format!("its file is `{}.age`; run this where that key is kept", key_name(role))));
        };
        let key = keyring.open(holder.name())?;
        if key.public().id() == holder.id() {
            return Ok(key);
        }
        let message =
            format!("`{}` is not the key that the root names", keyring.path(holder.name()).display());
        Err(Failure::new(Exit::EvidenceInvalid, message).hint("restore the key file from a copy"))
    }

    /// Adds entries to the log, after any root that is not in it yet; gives the index of the first.
    ///
    /// # Errors
    /// When the log's key cannot be opened, or the disk refuses.
    pub fn log(&mut self, entries: Vec<Entry>) -> Result<u64> {
        let key = self.keyring()?.open_note(LOG_KEY)?;
        self.journal.append_roots(&self.chain, self.history.entries(), &key)?;
        let first = self.journal.append(&entries, &key)?;
        self.history = History::new(self.journal.entries()?);
        Ok(first)
    }

    /// Logs any root that is not in the log yet, so that what follows stands right after it.
    ///
    /// # Errors
    /// As [`Office::log`].
    pub fn log_roots(&mut self) -> Result<()> {
        self.log(Vec::new()).map(drop)
    }

    /// Has the newest checkpoint cosigned and publishes it. What was logged stays logged when too few witnesses answer.
    ///
    /// # Errors
    /// When a witness knows another history, or the disk refuses.
    pub fn publish(&mut self, ui: &Ui) -> Result<()> {
        let mut witnesses = self.witnesses()?;
        let published = self.journal.publish(&mut witnesses, ui)?;
        let entries = count(self.journal.state().size, "entry").replace("entrys", "entries");
        if published.is_published {
            let by = count(published.cosigned.len() as u64, "witness").replace("witnesss", "witnesses");
            ui.status("Published", format_args!("the log of {entries}, cosigned by {by}"));
        } else {
            ui.warning("too few witnesses cosigned: `loadline log publish` asks them again");
        }
        Ok(())
    }

    /// The log as it is now, cosigned by the quorum of its policy: what an exam's questions follow from.
    ///
    /// # Errors
    /// When too few witnesses cosign; as [`Office::publish`].
    pub fn witnessed(&mut self, ui: &Ui) -> Result<Witnessed> {
        let mut witnesses = self.witnesses()?;
        let published = self.journal.publish(&mut witnesses, ui)?;
        Witnessed::of(&published.note, self.journal.policy()).map_err(|error| {
            let message = "the witnesses of the log have not cosigned it, and the questions follow from that";
            Failure::because(Exit::Unexpected, message, &error).hint(
                "nothing was begun and nothing is lost: give the same command when they can be reached \
                 (one on this machine with `--witness DIR`)",
            )
        })
    }

    /// The log policy of the root that was in force right before an entry.
    ///
    /// # Errors
    /// As [`Office::root_at`], or when the policy is none.
    pub fn log_policy_at(&self, index: u64) -> Result<loadline_tlog::Policy> {
        let policy = self.root_at(Some(index))?.parsed_log_policy();
        policy.map_err(|error| Failure::of(Exit::EvidenceInvalid, &error).hint(error.hint()))
    }

    /// The witnesses on this machine.
    fn witnesses(&self) -> Result<Vec<LocalWitness>> {
        let mut witnesses = Vec::new();
        for folder in &self.args.witness {
            let path = folder.join(WITNESS_KEY);
            let StoredKey::Note(key) = keyring::read(&path, &self.passphrase()?)? else {
                let message = format!("`{}` holds a hybrid key, which signs no checkpoints", path.display());
                return Err(Failure::new(Exit::Usage, message)
                    .hint("make one with `loadline key new --kind witness`"));
            };
            let store = WitnessFolder::open(folder.join(WITNESS_STORE), Arc::new(RealDisk));
            let store = store.map_err(|error| disk_failure(&error))?;
            let log = KnownLog {
                origin: self.journal.origin().to_owned(),
                keys: vec![keyring::read_vkey(
                    &roots::keys(self.folder.path()).join(format!("{LOG_KEY}.vkey")),
                )?],
            };
            let witness = Witness::new(vec![*key], vec![log], store);
            witnesses.push(witness.map_err(|error| {
                Failure::of(Exit::Usage, &error).hint("make one with `loadline key new --kind witness`")
            })?);
        }
        Ok(witnesses)
    }

    /// A policy that was published in this log.
    ///
    /// # Errors
    /// When it is not here, or is another one.
    pub fn policy(&self, digest: Digest) -> Result<Policy> {
        let path = self.folder.policy(digest);
        let bytes = folder::read_addressed(&path, digest)?;
        loadline_core::strict::from_canonical_json(&bytes).map_err(|error| folder::changed(&path, &error))
    }
}

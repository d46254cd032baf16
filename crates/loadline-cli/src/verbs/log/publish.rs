//! `loadline log publish`: ask the witnesses again.

use std::sync::Arc;

use loadline_tlog::disk::{DiskLog, RealDisk};

use super::{Place, Trust};
use crate::authority::publish::{self, disk_failure};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::{Ui, count};

/// Have the newest checkpoint cosigned, and publish it
///
/// For a log whose witnesses could not be reached when entries were added. Needs no secret key. Prints the checkpoint.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline log publish
  loadline log publish --log log --policy log.policy")]
pub struct Publish {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub trust: Trust,
}

/// See [`Publish`].
pub fn run(args: &Publish, ui: &Ui) -> Result {
    let authority = args.place.log.is_none().then_some(args.place.authority.as_path());
    let policy = args.trust.policy(authority)?;
    let keys = policy.logs().iter().map(|log| log.key.clone()).collect();
    let log = DiskLog::open(args.place.folder(), Arc::new(RealDisk), keys);
    let mut log = log.map_err(|error| disk_failure(&error))?;
    let published = publish::publish(&mut log, &policy, &mut [], ui)?;
    let (entries, by) = (count(log.size(), "entry"), count(published.cosigned.len() as u64, "witness"));
    if published.is_published {
        let mut out = ui.out();
        out.line(published.note.to_text().trim_end())?;
        out.finish()?;
        ui.status("Published", format_args!("{entries}, cosigned by {by}"));
        return Ok(Exit::Ok);
    }
    let message = format!("too few witnesses cosigned: {by} of {}", policy.witnesses().len());
    Err(Failure::new(Exit::Unexpected, message)
        .hint("nothing is lost: run the same command again when they can be reached"))
}

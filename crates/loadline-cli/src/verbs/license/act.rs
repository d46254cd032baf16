//! Signing, and changing a licence's standing.

use std::path::Path;

use loadline_core::untrusted::one_line;
use loadline_exam::signoff::trust_role;
use loadline_policy::Named as _;
use loadline_trust::{RootChain, SecretKey};
use serde_json::json;

use super::{ChangeArgs, Sign};
use crate::authority::licenses::{self, Change};
use crate::authority::office::Office;
use crate::authority::signing::{self, Attested, Wish};
use crate::authority::{exams, finish, folder, roots, standing};
use crate::exit::Exit;
use crate::failure::Result;
use crate::keyring;
use crate::ui::Ui;

/// See [`Sign`].
pub fn sign(args: &Sign, ui: &Ui) -> Result {
    let at = args.at.map_or_else(roots::now, Ok)?;
    let wish = Wish { role: args.role, stage: args.stage, approves: !args.refuse, at };
    let file = args.exam.as_deref().filter(|text| text.ends_with(".json") || Path::new(text).is_file());
    let (attested, key, place) = match file {
        Some(file) => elsewhere(args, Path::new(file), ui)?,
        None => here(args)?,
    };
    let envelope = signing::sign(&attested, &wish, &key)?;
    let path = match (&args.output, place) {
        (Some(path), _) => path.clone(),
        (None, Some(place)) => signing::path(&place, &envelope)?,
        (None, None) => format!("sign-off-{}.json", args.role.name()).into(),
    };
    folder::write(&path, &envelope.to_bytes(), folder::PUBLIC)?;
    let exam = &attested.statement.predicate;
    let word = if wish.approves { "Approved" } else { "Refused" };
    ui.status(
        word,
        format_args!(
            "stage `{}` after exam {}, as {} `{}`: `{}`",
            args.stage,
            &exam.exam.hex()[..12],
            args.role,
            one_line(key.public().name(), 60),
            path.display()
        ),
    );
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "file": path, "digest": signing::digest(&envelope)?, "signer": key.public().id(), "role": args.role,
            "stage": args.stage, "approves": wish.approves, "at": at, "attestation": attested.digest,
        }))?;
    } else {
        out.line(path.display())?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}

type Signing = (Attested, SecretKey, Option<folder::Folder>);

/// In the authority's folder, with a key of it or one's own.
fn here(args: &Sign) -> Result<Signing> {
    let office = Office::open(&args.office)?;
    let sitting = exams::open(&office, args.exam.as_deref())?;
    let attested = finish::attested(&office, &sitting.history, &sitting.dir)?;
    let key = match &args.key {
        Some(path) => own_key(args, path)?,
        None => office.key(trust_role(args.role))?,
    };
    Ok((attested, key, Some(office.folder.clone())))
}

/// On a machine of one's own, from the file of an attestation.
fn elsewhere(args: &Sign, file: &Path, ui: &Ui) -> Result<Signing> {
    let has_roots = roots::path(&args.office.authority, 1).exists();
    let chain = has_roots.then(|| roots::chain(&args.office.authority, None)).transpose()?;
    if chain.is_none() {
        ui.warning(
            "there are no roots here to check who attested it: compare its digest with the authority's log",
        );
    }
    let attested = signing::attestation(file, chain.as_ref().map(RootChain::current))?;
    let path = args.key.clone().unwrap_or_else(|| {
        roots::keys(&args.office.authority).join(format!("{}.age", args.role.name().replace('_', "-")))
    });
    Ok((attested, own_key(args, &path)?, None))
}

fn own_key(args: &Sign, path: &Path) -> Result<SecretKey> {
    keyring::check_form(path)?;
    Ok(keyring::read_hybrid(path, &args.office.passphrase.get()?)?)
}

/// See [`ChangeArgs`].
pub fn change(args: &ChangeArgs, change: Change, ui: &Ui) -> Result {
    let mut office = Office::open(&args.office)?;
    let license = office.history.license(Some(&args.license))?;
    let index = licenses::change(&mut office, &license, change, &args.reason)?;
    let (word, digest) = (done(change), license.entry.license);
    ui.status(word, format_args!("licence {digest}, entry {index} of the log"));
    let standing = standing::prolong(&office, args.lease)?;
    let path = office.folder.standing();
    let (epoch, end) = (standing.epoch, standing.expires);
    ui.status("Signed", format_args!("standing of epoch {epoch}, until {end}: `{}`", path.display()));
    office.publish(ui)?;
    let mut out = ui.out();
    if args.json {
        out.json(&json!({ "license": digest, "index": index, "standing": standing }))?;
    } else {
        out.line(path.display())?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}

fn done(change: Change) -> &'static str {
    match change {
        Change::Revoke => "Revoked",
        Change::Suspend => "Suspended",
        Change::Reinstate => "Reinstated",
    }
}

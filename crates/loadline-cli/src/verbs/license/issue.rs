//! Deciding and issuing.

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_policy::policy::Stage;
use serde_json::json;

use super::{Issue, Renew, TermsArgs};
use crate::authority::exams::{self, Sitting};
use crate::authority::licenses::{self, Issued, Terms};
use crate::authority::office::Office;
use crate::authority::{finish, folder, signing, standing};
use crate::decided;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// How long a standing counts at least that is signed with a licence.
const LEASE: std::time::Duration = std::time::Duration::from_secs(300);

/// What is asked for.
struct Wish<'a> {
    exam: Option<&'a str>,
    stage: Stage,
    terms: &'a TermsArgs,

    json: bool,
}

/// See [`Issue`].
pub fn issue(args: &Issue, ui: &Ui) -> Result {
    let office = Office::open(&args.office)?;
    let wish = Wish { exam: args.exam.as_deref(), stage: args.stage, terms: &args.terms, json: args.json };
    go(office, &wish, None, ui)
}

/// See [`Renew`].
pub fn renew(args: &Renew, ui: &Ui) -> Result {
    let office = Office::open(&args.office)?;
    let older = office.history.license(Some(&args.license))?;
    let digest = older.entry.license;
    licenses::read(&office, digest)?;
    if older.standing.is_some() {
        let message = format!("licence {digest} is not in good standing");
        return Err(Failure::new(Exit::Usage, message)
            .hint("issue a licence of its own with `loadline license issue`"));
    }
    let wish =
        Wish { exam: args.exam.as_deref(), stage: older.entry.stage, terms: &args.terms, json: args.json };
    go(office, &wish, Some((digest, older.entry.model)), ui)
}

fn go(mut office: Office, wish: &Wish<'_>, older: Option<(Digest, Digest)>, ui: &Ui) -> Result {
    let sitting = exams::open(&office, wish.exam)?;
    if let Some((digest, model)) = older
        && model != sitting.history.start.model
    {
        let message = format!("licence {digest} is of another model than the exam");
        return Err(
            Failure::new(Exit::Usage, message).hint("a licence is renewed by a new exam of its model")
        );
    }
    take_in(&office, &sitting, &wish.terms.sign_off)?;
    let terms = Terms {
        issuer: wish.terms.issuer.clone(),
        conditions: wish.terms.condition.clone(),
        standing_url: wish.terms.standing_url.clone(),
        supersedes: older.map(|(digest, _)| digest),
    };
    let issued = licenses::issue(&mut office, &sitting, wish.stage, &terms)?;
    tell(&issued, &office, ui);
    if let Some(license) = issued.decided.license {
        held(&office, license, ui);
        office.publish(ui)?;
    }
    let decision = &issued.decided.decision;
    let mut out = ui.out();
    if wish.json {
        out.json(
            &json!({ "decision": decision, "license": issued.decided.license, "is_new": issued.is_new }),
        )?;
    } else {
        decided::write(&mut out, decision)?;
    }
    out.finish()?;
    ui.hint(match issued.decided.license {
        Some(_) => {
            "`loadline license bundle` writes the evidence as one file that anybody can verify".to_owned()
        }
        None => format!(
            "`loadline license bundle --exam {}` writes the evidence and this decision as one file; if only signatures \
             are missing, get them with `loadline license sign` and decide again",
            &sitting.exam().hex()[..12]
        ),
    });
    Ok(decided::exit(decision.outcome))
}

/// A licence that opens its model further than it stands open is in a standing before anybody can hand it out.
fn held(office: &Office, license: Digest, ui: &Ui) {
    let Some(held) = office.history.standing().remove(&license) else { return };
    ui.warning(format_args!(
        "no gate serves it yet: {}; `loadline stage propose` opens the model",
        one_line(&held.reason, 200)
    ));
    match standing::prolong(office, LEASE) {
        Ok(standing) => {
            let (epoch, end) = (standing.epoch, standing.expires);
            ui.status("Signed", format_args!("standing of epoch {epoch}, until {end}"));
        }
        Err(failure) => ui.warning(format_args!(
            "{}: hand the licence out after the next `loadline standing issue` only",
            failure.message
        )),
    }
}

/// Puts sign-offs that were sent among the authority's, after checking them.
fn take_in(office: &Office, sitting: &Sitting, files: &[std::path::PathBuf]) -> Result<()> {
    let attested = finish::attested(office, &sitting.history, &sitting.dir)?;
    for file in files {
        let envelope = signing::sent(file, office.chain.current(), attested.digest)?;
        folder::write(&signing::path(&office.folder, &envelope)?, &envelope.to_bytes(), folder::PUBLIC)?;
    }
    Ok(())
}

/// Says what was decided, and where it is.
pub fn tell(issued: &Issued, office: &Office, ui: &Ui) {
    let outcome = issued.decided.decision.outcome;
    let decision = issued.decision.display();
    match issued.decided.license {
        Some(digest) => {
            ui.status("Decided", format_args!("{}: `{decision}`", decided::word(outcome)));
            let word = if issued.is_new { "Issued" } else { "Found" };
            let path = office.folder.license(digest).join("license.json");
            ui.status(word, format_args!("licence {digest}: `{}`", path.display()));
        }
        None => ui.status_warn("Decided", format_args!("{}: `{decision}`", decided::word(outcome))),
    }
}

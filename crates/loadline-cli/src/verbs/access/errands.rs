//! Errands: what whoever runs a programme has done, at its folder or, while it is served, at the operator's door.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use loadline_access::Errand;
use loadline_access::errand::{self, Done};
use loadline_access::store::StoreError;
use loadline_access::usage::Used;
use loadline_core::untrusted::one_line;
use loadline_gate::config::AdminConfig;

use super::ask::{self, MAX_ANSWER_BYTES};
use super::operator::ERRANDS;
use super::{office, show};
use crate::authority::roots;
use crate::door;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::ui::{self, Ui};

/// How long an errand may take at the door: a long audit log is read as a whole.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// What to do where an answer was lost.
const MAY_BE_DONE: &str = "it may be done all the same: the same command again says whether it is";

/// Where a programme is, for whoever runs it.
#[derive(clap::Args)]
pub struct Place {
    /// The programme: its file, or the URL of its operator's door while it is served
    #[arg(value_name = "PROGRAMME|URL")]
    pub programme: String,
    /// The environment variable with the operator's key, for a URL
    #[arg(long, value_name = "NAME", default_value = "LOADLINE_ADMIN_KEY")]
    pub admin_key_env: String,
}

/// Give the places of a round that is over, by lottery when there are more accepted than places
///
/// Prints the draw as JSON: publish it. Anybody can draw again with `loadline access lottery verify`.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access draw access.toml 2026-1 > 2026-1.json
  loadline access draw access.toml 2026-1 --beacon 8f1c…  > 2026-1.json
  loadline access draw http://127.0.0.1:8041 2026-1 > 2026-1.json")]
pub struct Draw {
    #[command(flatten)]
    pub place: Place,
    /// The round
    #[arg(value_name = "ROUND")]
    pub round: String,
    /// Value of the public randomness that the programme announced
    #[arg(long, value_name = "VALUE")]
    pub beacon: Option<String>,
}

/// An application, for whoever runs the programme.
#[derive(clap::Args)]
pub struct Which {
    #[command(flatten)]
    pub place: Place,
    /// The application
    #[arg(value_name = "ID")]
    pub application: String,
}

/// Make the key of an application that was drawn, to hand it over. It is shown once
///
/// Applicants get theirs with `loadline access claim`; this is for those who cannot.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access grant access.toml 3f9a…
  loadline access grant http://127.0.0.1:8041 3f9a…")]
pub struct Grant {
    #[command(flatten)]
    pub which: Which,
}

/// Revoke the key of an application
///
/// A running gate refuses it when it has read its configuration again (SIGHUP).
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access revoke access.toml 3f9a… && systemctl reload loadline-gate
  loadline access revoke http://127.0.0.1:8041 3f9a… && systemctl reload loadline-gate")]
pub struct Revoke {
    #[command(flatten)]
    pub which: Which,
}

/// Erase what an application says of a person; its decisions and counts stay, and the log stays whole
///
/// There is no way back. Without a key the application counts as taken back.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access erase access.toml 3f9a…
  loadline access erase http://127.0.0.1:8041 3f9a…")]
pub struct Erase {
    #[command(flatten)]
    pub which: Which,
}

/// Show what each grant has used, from the audit log of the gate
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access usage access.toml --audit /var/lib/loadline/audit
  loadline access usage http://127.0.0.1:8041")]
pub struct Usage {
    #[command(flatten)]
    pub place: Place,
    /// Folder of the gate's audit log (default: as the programme says)
    #[arg(long, value_name = "DIR")]
    pub audit: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Draw`].
pub fn draw(args: &Draw, ui: &Ui) -> Result {
    let errand = Errand::Draw { round: args.round.clone(), beacon: args.beacon.clone() };
    tell(args.place.run(&errand, None, ui)?, false, ui)
}

/// See [`Grant`].
pub fn grant(args: &Grant, ui: &Ui) -> Result {
    let errand = Errand::Grant { application: args.which.application.clone() };
    tell(args.which.place.run(&errand, None, ui)?, false, ui)
}

/// See [`Revoke`].
pub fn revoke(args: &Revoke, ui: &Ui) -> Result {
    let errand = Errand::Revoke { application: args.which.application.clone() };
    tell(args.which.place.run(&errand, None, ui)?, false, ui)
}

/// See [`Erase`].
pub fn erase(args: &Erase, ui: &Ui) -> Result {
    let errand = Errand::Erase { application: args.which.application.clone() };
    tell(args.which.place.run(&errand, None, ui)?, false, ui)
}

/// See [`Usage`].
pub fn usage(args: &Usage, ui: &Ui) -> Result {
    tell(args.place.run(&Errand::Usage, args.audit.as_deref(), ui)?, args.json, ui)
}

impl Place {
    /// Has an errand done. A folder of the audit log counts in the place of the one that the programme's file names.
    fn run(&self, errand: &Errand, audit: Option<&Path>, ui: &Ui) -> Result<Done> {
        if ask::is_url(&self.programme) {
            if audit.is_some() {
                let message = "`--audit` goes with the programme's file, not with a URL";
                return Err(Failure::new(Exit::Usage, message)
                    .hint("leave it out: there, `audit` of the programme's file says where the log is"));
            }
            return self.run_at_door(errand);
        }
        let mut programme = office::read(Path::new(&self.programme))?;
        programme.audit = audit.map(Path::to_path_buf).or(programme.audit);
        let admin = programme.admin.clone();
        let locked = |error: &StoreError| error.is_locked().then(|| elsewhere(admin.as_ref()));
        let desk = Mutex::new(office::open_or(&programme, locked, ui)?);
        errand::run(&desk, errand, roots::now()?).map_err(|refusal| office::refused(&refusal))
    }

    fn run_at_door(&self, errand: &Errand) -> Result<Done> {
        let hint = "set it to the operator's key of the programme, as its `admin.key_env` says";
        let key = door::key(&self.admin_key_env, hint)?;
        let (web, runtime) = door::private(&self.programme, Some(key))?;
        let web = web.within(ANSWER_WITHIN);
        let body = serde_json::to_vec(errand).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
        let reply = runtime.block_on(web.post(ERRANDS, body, MAX_ANSWER_BYTES)).map_err(|mut error| {
            // Whoever could not connect is told so. Otherwise the errand may be done and its answer lost.
            error.hint.get_or_insert_with(|| MAY_BE_DONE.to_owned());
            error
        });
        let no_door = "give the address of `[admin] listen` in the programme's file, not the public one";
        let answer = ask::answered(reply, &web.url())
            .map_err(|failure| if failure.hint.is_none() { failure.hint(no_door) } else { failure })?;
        serde_json::from_value(answer).map_err(|_| {
            let message = format!("`{}` does not answer as the operator's door of a programme", web.url());
            let hint = format!("{no_door}; if it is that one, {MAY_BE_DONE}");
            Failure::new(Exit::ModelUnreachable, message).hint(hint)
        })
    }
}

/// Where to go while another process has the folder.
fn elsewhere(admin: Option<&AdminConfig>) -> String {
    match admin {
        Some(admin) if admin.listen.port() != 0 => format!(
            "while `loadline access serve` runs, give `http://{}` in the place of the file: its operator's door",
            admin.listen
        ),
        Some(_) => "while `loadline access serve` runs, give the second URL that it printed in the place of the \
                    file: its operator's door"
            .to_owned(),
        None => "`loadline access serve` may be running: end it first, or give it an operator's door (`[admin]` in the \
                 programme's file)"
            .to_owned(),
    }
}

/// Says what came of an errand.
fn tell(done: Done, json: bool, ui: &Ui) -> Result {
    match done {
        Done::Drawn(drawn) => {
            let mut out = ui.out();
            out.json(&drawn)?;
            out.finish()?;
            let accepted = ui::count(drawn.order.len() as u64, "accepted application");
            ui.status("Drawn", format_args!("{accepted}, {}", ui::count(drawn.places, "place")));
            Ok(Exit::Ok)
        }
        Done::Granted(granted) => show::answer(&serde_json::json!({ "key": granted }), false, ui),
        Done::Revoked { application, keys } => {
            ui.status("Revoked", format_args!("the key of {}", one_line(&application, 40)));
            let stops = keys.iter().map(|key| format!("`loadline stop key:{}`", one_line(key, 40)));
            let stops = stops.collect::<Vec<_>>().join(" and ");
            ui.hint(format_args!("a running gate refuses it when it is reloaded; at once: {stops}"));
            Ok(Exit::Ok)
        }
        Done::Erased(application) => {
            ui.status("Erased", format_args!("the texts of {}", one_line(&application, 40)));
            Ok(Exit::Ok)
        }
        Done::Used(used) => used_up(&used, json, ui),
    }
}

fn used_up(used: &[Used], json: bool, ui: &Ui) -> Result {
    let mut out = ui.out();
    if json {
        out.json(&used)?;
    } else {
        let mut table = Table::default();
        for line in used {
            table.row([
                Cell::left(one_line(&line.grant, 80)),
                Cell::left(one_line(&line.key, 40)),
                Cell::left(if line.works { "works" } else { "over" }),
                Cell::right(ui::thousands(line.tokens)),
                Cell::left("tokens"),
                Cell::left(ui::count(line.reports, "report")),
            ]);
        }
        table.write(&mut out, 0)?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}

//! How a decision is shown: the outcome, and every reason in a row.

use loadline_policy::Decision;
use loadline_policy::decide::{Outcome, Reason};

use crate::exit::Exit;
use crate::failure::Result;
use crate::table::{Cell, Table};
use crate::ui::{BAD, DIM, GOOD, Out, STRONG, WARN};

/// What a command ends with that decided this.
pub fn exit(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Allow => Exit::Ok,
        Outcome::Deny => Exit::Denied,
        Outcome::Undetermined => Exit::Undetermined,
    }
}

/// The outcome in words.
pub fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "ALLOW",
        Outcome::Deny => "DENY",
        Outcome::Undetermined => "UNDETERMINED",
    }
}

/// Writes a decision: a line, then a row for each reason.
///
/// # Errors
/// When standard output cannot be written.
pub fn write(out: &mut Out, decision: &Decision) -> Result<()> {
    let style = match decision.outcome {
        Outcome::Allow => GOOD,
        Outcome::Deny => BAD,
        Outcome::Undetermined => WARN,
    };
    let verdict = out.styled(style, word(decision.outcome)).to_string();
    let policy = loadline_core::untrusted::one_line(&decision.policy.name, 80);
    out.line(format_args!(
        "{verdict}  stage `{}` under `{policy}`, {} path, at {}",
        decision.stage, decision.path, decision.now
    ))?;
    let mut table = Table::default();
    for reason in &decision.reasons {
        table.row(row(reason));
    }
    table.write(out, 2)
}

fn row(reason: &Reason) -> [Cell; 4] {
    let (sign, style) = match (reason.outcome, reason.blocks) {
        (Outcome::Allow, _) => ("ok", GOOD),
        (Outcome::Deny, true) => ("deny", BAD),
        (Outcome::Undetermined, true) => ("open", WARN),
        (_, false) => ("disclosed", WARN),
    };
    [
        Cell::left(sign).styled(style),
        Cell::left(&reason.rule).styled(STRONG),
        Cell::left(&reason.text),
        Cell::left(if reason.blocks { "" } else { "does not block" }).styled(DIM),
    ]
}

//! What follows from the book without anybody asking for it: who reviews what, and which verdicts decide.

use loadline_core::{Digest, Instant};

use crate::book::{Book, Case, Seat};
use crate::programme::{Programme, Reviewer};
use crate::request::Verdict;
use crate::rows::Row;

/// The next rows that follow from the book; none when everything is settled. After each of them others may follow.
pub(crate) fn consequences(book: &Book, programme: &Programme, at: Instant) -> Vec<Row> {
    let open = book.cases.values().filter(|case| case.is_in_review());
    open.filter_map(|case| next(case, programme, at)).collect()
}

fn next(case: &Case, programme: &Programme, at: Instant) -> Option<Row> {
    let application = case.applied.application.clone();
    // A reviewer who left the programme is waited for no longer.
    let serves = |seat: &&Seat| seat.review.is_some() || programme.reviewer(&seat.reviewer).is_some();
    let active: Vec<_> = case.panel().iter().filter(|seat| !seat.recused).filter(serves).collect();
    let verdicts: Vec<Verdict> = active.iter().filter_map(|seat| Some(seat.review.as_ref()?.0)).collect();
    for verdict in [Verdict::Accept, Verdict::Reject] {
        if verdicts.iter().filter(|given| **given == verdict).count() >= programme.agree {
            return Some(Row::Decided { at, application, verdict });
        }
    }
    // As many as must agree; when all of them have spoken and do not, one more.
    if active.len() >= programme.agree && verdicts.len() < active.len() {
        return None;
    }
    let reviewer = order(programme, case).into_iter().next()?.name().to_owned();
    Some(Row::Assigned { at, application, reviewer })
}

/// Reviewers who may get an application and have not had it, in the order that follows from the programme's seed.
fn order<'p>(programme: &'p Programme, case: &Case) -> Vec<&'p Reviewer> {
    let may = |reviewer: &&Reviewer| {
        !case.applied.conflicts.iter().any(|name| name == reviewer.name())
            && !case.seats.iter().any(|seat| seat.reviewer == reviewer.name())
    };
    let rank = |reviewer: &&Reviewer| {
        let parts = [&programme.seed, &case.applied.application, reviewer.name()];
        Digest::of_parts("loadline/access/panel/1", &parts.map(|part| part.as_bytes()))
    };
    let mut reviewers: Vec<_> = programme.reviewers.iter().filter(may).collect();
    reviewers.sort_by_key(rank);
    reviewers
}

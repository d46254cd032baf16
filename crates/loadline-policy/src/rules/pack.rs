//! Reading a rule pack.

use crate::compute::Category;
use crate::document::{self, Problems, Reader};
use crate::instant::Instant;
use crate::names::Named as _;

use super::{Pack, RULES_FORMAT, Status};

/// Reads a rule pack (TOML, `docs/formats/compute.md`).
///
/// # Errors
/// Everything that is wrong with it, each with line and column.
pub fn parse(text: &str) -> Result<Pack, Problems> {
    document::read(text, |root| {
        root.format(RULES_FORMAT);
        let pack = Pack {
            format: RULES_FORMAT.to_owned(),
            id: root.name("id"),
            title: root.text("title"),
            jurisdiction: root.text("jurisdiction"),
            citation: root.text("citation"),
            status: root.choice("status"),
            effective: date(root, "effective"),
            checked: required_date(root, "checked"),
            threshold_flop: root.decimal("threshold_flop"),
            comparison: root.choice("comparison"),
            error_margin: root.decimal_if("error_margin"),
            consequence: root.text("consequence"),
            counts: root.choices("counts"),
            excludes: root.choices("excludes"),
            unsettled_categories: root.choices("unsettled_categories"),
            other_tests: root.texts("other_tests"),
            unsettled: root.texts("unsettled"),
        };
        check(root, &pack);
        pack
    })
}

fn check(root: &Reader<'_, '_>, pack: &Pack) {
    for category in Category::ALL {
        let lists = [&pack.counts, &pack.excludes, &pack.unsettled_categories];
        let times = lists.iter().filter(|list| list.contains(category)).count();
        if times != 1 {
            let message = format!("`{category}` is in {times} of the three lists");
            let hint = "each category is in one of `counts`, `excludes` and `unsettled_categories`";
            root.problem("counts", message, hint);
        }
    }
    if !pack.threshold_flop.is_positive() {
        root.problem("threshold_flop", format!("is {}", pack.threshold_flop), "above 0");
    }
    if pack.error_margin.as_ref().is_some_and(|margin| !margin.is_fraction()) {
        root.problem("error_margin", "is not between 0 and 1", "write 0.3 for 30 %");
    }
    if pack.status.is_law() && pack.effective.is_none() {
        root.problem("effective", "is missing", "a law has a date from which it applies");
    }
    if pack.status == Status::Vetoed && pack.effective.is_some() {
        root.problem("effective", "is there, but the law was vetoed", "leave it out");
    }
}

fn date(root: &Reader<'_, '_>, key: &'static str) -> Option<Instant> {
    let text = root.text_if(key)?;
    let moment = format!("{text}T00:00:00Z").parse();
    if moment.is_err() {
        root.problem(key, format!("`{text}` is not a date"), "write it as \"2026-11-23\"");
    }
    moment.ok()
}

fn required_date(root: &Reader<'_, '_>, key: &'static str) -> Instant {
    if !root.has(key) {
        root.problem(key, "is missing", "write it as \"2026-11-23\"");
    }
    date(root, key).unwrap_or(Instant::EPOCH)
}

//! Reading a declaration of compute.

use loadline_core::model::Basis;
use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;

use super::chips::{self, CHIPS};
use super::{Architecture, COMPUTE_FORMAT, Entry, Hardware, Ledger, Precision, Stated};
use crate::basis::BasisName;
use crate::decimal::{Decimal, Interval};
use crate::document::{self, Problems, Reader};
use crate::names::{Named, names};

names! {
    /// How parameters are used.
    Design {
        /// All of them for every token.
        Dense = "dense",
        /// A part of them for a token.
        MixtureOfExperts = "mixture_of_experts",
    }
}

/// Reads a declaration (TOML, `docs/formats/compute.md`).
///
/// # Errors
/// Everything that is wrong with it, each with line and column.
pub fn parse(text: &str) -> Result<Ledger, Problems> {
    document::read(text, |root| {
        root.format(COMPUTE_FORMAT);
        let entries: Vec<Entry> = root.tables("entry").iter().map(entry).collect();
        if entries.is_empty() {
            root.problem(
                "entry",
                "there is no entry",
                "write one under `[[entry]]`; see docs/formats/compute.md",
            );
        }
        for (index, one) in entries.iter().enumerate() {
            if entries[..index].iter().any(|other| other.name == one.name) {
                let message = format!("two entries are called `{}`", one_line(&one.name, 60));
                root.problem("entry", message, "give each its own name, so that none is counted twice");
            }
        }
        Ledger {
            format: COMPUTE_FORMAT.to_owned(),
            model: root.text("model"),
            others: root.choice("others"),
            entries,
        }
    })
}

fn entry(reader: &Reader<'_, '_>) -> Entry {
    let basis = Basis::from(reader.choice::<BasisName>("basis"));
    let entry = Entry {
        name: reader.text("name"),
        category: reader.choice("category"),
        basis,
        architecture: reader.table_if("architecture").map(|table| architecture(&table)),
        hardware: reader.table_if("hardware").map(|table| hardware(&table)),
        stated: reader
            .table_if("stated")
            .map(|table| Stated { flop: table.amount("flop"), source: table.text("source") }),
        note: reader.text_if("note"),
    };
    let figures = ["architecture", "hardware", "stated"].into_iter().filter(|key| reader.has(key)).count();
    match (basis, figures) {
        (Basis::Absent, 1..) => {
            reader.problem("basis", "is `absent`, but there are figures", "say on what they rest");
        }
        (Basis::Absent, _) | (_, 1..) => {}
        _ => reader.problem(
            "",
            "has no figure",
            "add `architecture`, `hardware` or `stated`, or write `basis = \"absent\"`",
        ),
    }
    entry
}

fn architecture(reader: &Reader<'_, '_>) -> Architecture {
    let design: Design = reader.choice("design");
    let (active_parameters, total_parameters) = match design {
        Design::Dense => {
            for key in ["active_parameters", "total_parameters"] {
                if reader.has(key) {
                    reader.problem(
                        key,
                        "a dense model has one count, `parameters`",
                        "if only a part is active for a token, write `design = \"mixture_of_experts\"`",
                    );
                }
            }
            (reader.amount("parameters"), None)
        }
        Design::MixtureOfExperts => {
            if reader.has("parameters") {
                reader.problem(
                    "parameters",
                    "does not say which parameters of a mixture of experts",
                    "write `active_parameters` (per token; these are counted) and `total_parameters`",
                );
            }
            let (active, total) = (reader.amount("active_parameters"), reader.amount("total_parameters"));
            if reader.has("active_parameters") && reader.has("total_parameters") && active.hi >= total.hi {
                reader.problem(
                    "active_parameters",
                    format!("{active} are active of {total} in total: that is no mixture of experts"),
                    "count the parameters that one token passes through, not all of them",
                );
            }
            (active, Some(total))
        }
    };
    Architecture {
        active_parameters,
        total_parameters,
        tokens: reader.amount("tokens"),
        epochs: reader.amount_if("epochs").unwrap_or_else(|| Interval::point(Decimal::one())),
    }
}

fn hardware(reader: &Reader<'_, '_>) -> Hardware {
    let precision: Precision = reader.choice("precision");
    let (chip, dense_peak_flop_per_s) = chip(reader, precision);
    let utilisation = reader.amount("utilisation");
    if utilisation.hi.as_ref().is_some_and(|hi| !hi.is_fraction()) {
        reader.problem(
            "utilisation",
            format!("is {utilisation}"),
            "a share of the peak, such as 0.4 for 40 %",
        );
    }
    Hardware {
        chip,
        precision,
        chips: reader.amount("chips"),
        hours: reader.amount("hours"),
        dense_peak_flop_per_s,
        utilisation,
        utilisation_of: reader.choice("utilisation_of"),
    }
}

/// The chip's name and its dense peak: from the table, or stated for a chip that is not in it.
fn chip(reader: &Reader<'_, '_>, precision: Precision) -> (String, Decimal) {
    let name = reader.name("chip");
    let stated = reader.decimal_if("dense_peak_flop_per_s");
    if reader.has("peak_flop_per_s") {
        let hint = "write `dense_peak_flop_per_s`: peaks with sparsity are not reached in training";
        reader.problem("peak_flop_per_s", "does not say whether it is dense", hint);
    }
    let Some(chip) = chips::find(&name) else {
        if stated.as_ref().is_none_or(|peak| !peak.is_positive()) {
            let known: Vec<_> = CHIPS.iter().map(|chip| chip.name).collect();
            let hint = match nearest(&name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("give its `dense_peak_flop_per_s`, or take one of {}", known.join(", ")),
            };
            reader.problem("chip", format!("the peak of `{}` is not known", one_line(&name, 40)), hint);
        }
        return (name, stated.unwrap_or_else(Decimal::zero));
    };
    let Some(peak) = chip.peaks.iter().find(|peak| peak.precision == precision) else {
        let known: Vec<_> = chip.peaks.iter().map(|peak| peak.precision.name()).collect();
        let message = format!("the peak of `{}` in {precision} is not known", chip.name);
        reader.problem("precision", message, format!("known: {}", known.join(", ")));
        return (name, Decimal::zero());
    };
    let dense = peak.dense();
    let Some(stated) = stated else { return (name, dense) };
    // Published figures for one chip differ by their rounding.
    let tolerance = Interval::point(dense.clone()).widened(&hundredth());
    if stated > tolerance.hi.unwrap_or_else(Decimal::zero) {
        let sparse = peak.sparse().is_some_and(|sparse| near(&stated, &sparse));
        let kind = if sparse { " is the peak with sparsity" } else { " is more than its dense peak" };
        let hint = format!("the dense peak of {} in {precision} is {dense}; or leave the key out", chip.name);
        reader.problem("dense_peak_flop_per_s", format!("{stated}{kind}"), hint);
    }
    (name, stated)
}

fn near(a: &Decimal, b: &Decimal) -> bool {
    let around = Interval::point(b.clone()).widened(&hundredth());
    *a >= around.lo && around.hi.is_some_and(|hi| *a <= hi)
}

fn hundredth() -> Decimal {
    Decimal::one()
        .divided_by(&Decimal::from(100), 2, crate::decimal::Round::Down)
        .unwrap_or_else(Decimal::zero)
}

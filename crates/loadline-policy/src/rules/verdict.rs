//! Whether a law's compute test concerns a model.

use loadline_core::Digest;
use serde::{Deserialize, Serialize};

use super::{Comparison, Pack, Status};
use crate::compute::{Category, Ledger};
use crate::decimal::{Decimal, Interval};
use crate::names::{Named as _, names};

names! {
    /// What the compute test says.
    Scope {
        /// The whole interval is over the threshold.
        In = "in",
        /// The whole interval is under it.
        Out = "out",
        /// The interval is on both sides. Treated as in, until there is better evidence.
        Indeterminate = "indeterminate",
    }
}

/// The compute test of one law, over one ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeVerdict {
    /// The pack.
    pub law: String,
    /// The pack's digest.
    pub pack: Digest,
    /// Where the law stands.
    pub status: Status,
    /// What the test says.
    pub verdict: Scope,
    /// Whether the model is treated as in: so unless it is shown to be out.
    pub treated_as_in: bool,
    /// In FLOP.
    pub threshold_flop: Decimal,
    /// How it is compared.
    pub comparison: Comparison,
    /// Sum of what counts, in FLOP; what is unsettled is in the upper end only.
    pub counted_flop: Interval,
    /// The same with the error that the law tolerates: what was compared.
    pub compared_flop: Interval,
    /// Why.
    pub reasons: Vec<String>,
}

impl Pack {
    /// The compute test over a ledger. Exact.
    ///
    /// # Errors
    /// Never in practice: when the pack cannot be written as JSON for its digest.
    pub fn judge(&self, ledger: &Ledger) -> Result<ScopeVerdict, serde_json::Error> {
        let settled = ledger.sum(&self.counts);
        let unsettled = ledger.sum(&self.unsettled_categories);
        let counted_flop = settled.plus(&Interval { lo: Decimal::zero(), hi: unsettled.hi.clone() });
        let compared_flop = match &self.error_margin {
            Some(margin) => counted_flop.widened(margin),
            None => counted_flop.clone(),
        };
        let verdict = self.compare(&compared_flop);
        Ok(ScopeVerdict {
            law: self.id.clone(),
            pack: self.digest()?,
            status: self.status,
            verdict,
            treated_as_in: verdict != Scope::Out,
            threshold_flop: self.threshold_flop.clone(),
            comparison: self.comparison,
            reasons: self.reasons(ledger, verdict, &counted_flop, &compared_flop),
            counted_flop,
            compared_flop,
        })
    }

    fn over(&self, flop: &Decimal) -> bool {
        match self.comparison {
            Comparison::MoreThan => *flop > self.threshold_flop,
            Comparison::AtLeast => *flop >= self.threshold_flop,
        }
    }

    fn compare(&self, flop: &Interval) -> Scope {
        match (self.over(&flop.lo), flop.hi.as_ref().map(|hi| self.over(hi))) {
            (true, _) => Scope::In,
            (false, Some(false)) => Scope::Out,
            (false, _) => Scope::Indeterminate,
        }
    }

    fn reasons(
        &self,
        ledger: &Ledger,
        verdict: Scope,
        counted: &Interval,
        compared: &Interval,
    ) -> Vec<String> {
        let threshold = self.threshold_flop.rounded(4);
        let comparison = match self.comparison {
            Comparison::MoreThan => "more than",
            Comparison::AtLeast => "at least",
        };
        let mut reasons =
            vec![format!("counted compute is {counted} FLOP; the law says {comparison} {threshold}")];
        if let Some(margin) = &self.error_margin {
            let percent = margin.times(&Decimal::from(100));
            reasons.push(format!("with the tolerated error of {percent} % it is {compared} FLOP"));
        }
        let none = Decimal::zero();
        let listed = |what: &str, categories: &[Category], reasons: &mut Vec<String>| {
            for category in categories {
                let total = ledger.category(*category);
                if total.flop.hi != Some(none.clone()) {
                    reasons.push(format!("`{}`: {} FLOP {what}", category.name(), total.flop));
                }
            }
        };
        listed("excluded", &self.excludes, &mut reasons);
        listed("unsettled, in the upper end only", &self.unsettled_categories, &mut reasons);
        for category in &self.counts {
            if ledger.category(*category).flop.hi.is_none() {
                reasons.push(format!("nothing bounds `{}` from above: declare it", category.name()));
            }
        }
        if verdict == Scope::Indeterminate {
            reasons.push("the interval is on both sides of the threshold: treated as in".to_owned());
        }
        if !self.status.is_law() {
            reasons.push(format!("not law: {}", self.status));
        }
        reasons
    }
}

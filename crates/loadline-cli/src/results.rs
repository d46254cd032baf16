//! How results are shown. A number is only ever shown as an [`Estimate`].

use loadline_stats::Estimate;

use crate::ui::thousands;

/// What an estimate rests on: `n=1,319, Wilson 95%`, and what is not in it.
pub fn basis(estimate: &Estimate) -> String {
    let mut text = format!("n={}", thousands(estimate.n));
    if let Some(clusters) = estimate.clusters {
        text.push_str(&format!(" in {} clusters", thousands(clusters)));
    }
    text.push_str(&format!(", {} {}", estimate.method, estimate.level));
    if estimate.unscored > 0 {
        text.push_str(&format!(", {} unscored", thousands(estimate.unscored)));
    }
    text
}

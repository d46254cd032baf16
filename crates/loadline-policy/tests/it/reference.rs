//! Published models as reference rows: parameters, tokens, hardware and Epoch AI's value (snapshot of 24 February
//! 2025, CC-BY, Epoch AI), and what the thresholds say of each.

use loadline_policy::compute::{self, Method};
use loadline_policy::decimal::Round;
use loadline_policy::rules::Scope::{self, In, Indeterminate, Out};
use loadline_policy::{Decimal, Interval, Ledger};

use crate::support::{d, stated, verdict};

struct Row {
    name: &'static str,
    /// Parameters and tokens.
    architecture: Option<(&'static str, &'static str)>,
    /// 6ND to three significant digits.
    six_nd: Option<&'static str>,
    epoch: &'static str,
    /// 6ND / Epoch, as published beside it; two or three digits.
    ratio: Option<&'static str>,
    /// Of 6ND, or of Epoch's value where there is no 6ND.
    eu: Scope,
    eu_on_epoch: Scope,
    us: Scope,
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "AlexNet", architecture: None, six_nd: None, epoch: "4.7e17", ratio: None, eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "GPT-3 175B", architecture: Some(("175e9", "300e9")), six_nd: Some("3.15e23"), epoch: "3.14e23", ratio: Some("1.003"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "Chinchilla", architecture: Some(("70e9", "1.4e12")), six_nd: Some("5.88e23"), epoch: "5.76e23", ratio: Some("1.021"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "Gopher", architecture: Some(("280e9", "300e9")), six_nd: Some("5.04e23"), epoch: "6.31e23", ratio: Some("0.80"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "LLaMA-65B", architecture: Some(("65.2e9", "1.4e12")), six_nd: Some("5.48e23"), epoch: "5.5e23", ratio: Some("0.996"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "Llama-2-70B", architecture: Some(("70e9", "2e12")), six_nd: Some("8.40e23"), epoch: "8.1e23", ratio: Some("1.037"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "BLOOM-176B", architecture: Some(("176.25e9", "366e9")), six_nd: Some("3.87e23"), epoch: "3.66e23", ratio: Some("1.058"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "PaLM 540B", architecture: Some(("540.35e9", "780e9")), six_nd: Some("2.529e24"), epoch: "2.527e24", ratio: Some("1.001"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "Falcon-180B", architecture: Some(("180e9", "3.5e12")), six_nd: Some("3.78e24"), epoch: "3.76e24", ratio: Some("1.005"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "DeepSeek-V3", architecture: Some(("37e9", "14.8e12")), six_nd: Some("3.29e24"), epoch: "4.56e24", ratio: Some("0.72"), eu: Out, eu_on_epoch: Out, us: Out },
    Row { name: "Llama-3-70B", architecture: Some(("70e9", "15e12")), six_nd: Some("6.30e24"), epoch: "7.86e24", ratio: Some("0.80"), eu: Out, eu_on_epoch: Indeterminate, us: Out },
    Row { name: "Qwen2.5-72B", architecture: Some(("72.7e9", "18e12")), six_nd: Some("7.85e24"), epoch: "7.8e24", ratio: Some("1.007"), eu: Indeterminate, eu_on_epoch: Indeterminate, us: Out },
    Row { name: "Nemotron-4 340B", architecture: Some(("340e9", "9e12")), six_nd: Some("1.836e25"), epoch: "1.8e25", ratio: Some("1.020"), eu: In, eu_on_epoch: In, us: Out },
    Row { name: "Llama-3.1-405B", architecture: Some(("405e9", "15.6e12")), six_nd: Some("3.791e25"), epoch: "3.8e25", ratio: Some("0.998"), eu: In, eu_on_epoch: In, us: Out },
    Row { name: "Gemini 1.0 Ultra", architecture: None, six_nd: None, epoch: "5.0e25", ratio: None, eu: In, eu_on_epoch: In, us: Out },
    Row { name: "Grok-3", architecture: None, six_nd: None, epoch: "4.64e26", ratio: None, eu: In, eu_on_epoch: In, us: In },
    Row { name: "Inflection-2", architecture: None, six_nd: None, epoch: "1e25", ratio: None, eu: Indeterminate, eu_on_epoch: Indeterminate, us: Out },
];

const HEAD: &str = "format = \"loadline-compute/1\"\nmodel = \"m\"\nothers = \"none\"\n[[entry]]\nname = \"run\"\n\
                    category = \"pretraining\"\nbasis = \"inferred\"\n";

fn ledger(methods: &str) -> Ledger {
    compute::parse(&format!("{HEAD}{methods}")).unwrap()
}

pub fn architecture(n: &str, tokens: &str) -> String {
    format!("architecture = {{ design = \"dense\", parameters = {n}, tokens = {tokens} }}\n")
}

/// Chip, precision, chips, hours, utilisation, peak where it differs from the table's.
pub fn hardware(
    chip: &str,
    precision: &str,
    chips: &str,
    hours: &str,
    utilisation: &str,
    peak: &str,
) -> String {
    let peak = if peak.is_empty() { String::new() } else { format!(", dense_peak_flop_per_s = {peak}") };
    format!(
        "hardware = {{ chip = \"{chip}\", precision = \"{precision}\", chips = {chips}, hours = {hours}, \
         utilisation = {utilisation}, utilisation_of = \"whole_job\"{peak} }}\n"
    )
}

fn flop(ledger: &Ledger, method: Method) -> Decimal {
    let methods = ledger.entries[0].methods();
    let (_, interval) = methods.into_iter().find(|(m, _)| *m == method).unwrap();
    assert_eq!(Some(&interval.lo), interval.hi.as_ref(), "a point");
    interval.lo
}

/// (a) of the traps: parameters and tokens to three significant figures.
#[test]
fn parameters_and_tokens_give_the_published_figures() {
    for row in ROWS {
        let Some((n, tokens)) = row.architecture else { continue };
        let figure = flop(&ledger(&architecture(n, tokens)), Method::Architecture);
        let expected = d(row.six_nd.unwrap());
        assert_eq!(figure.rounded(3), expected.rounded(3), "{}", row.name);
        let ratio = figure.divided_by(&d(row.epoch), 6, Round::Down).unwrap();
        let published = row.ratio.unwrap();
        let places = published.split_once('.').unwrap().1.len();
        let half_a_unit = d(&format!("0.{}6", "0".repeat(places)));
        let published = d(published);
        let distance = if ratio > published { ratio.minus(&published) } else { published.minus(&ratio) };
        assert!(distance <= half_a_unit, "{}: {ratio} and {published}", row.name);
    }
}

#[test]
fn thresholds_say_of_each_row_what_they_should() {
    for row in ROWS {
        let own = match row.architecture {
            Some((n, tokens)) => ledger(&architecture(n, tokens)),
            None => stated(row.epoch),
        };
        assert_eq!(verdict("eu-ai-act-1e25", &own).verdict, row.eu, "{}", row.name);
        let on_epoch = verdict("eu-ai-act-1e25", &stated(row.epoch)).verdict;
        assert_eq!(on_epoch, row.eu_on_epoch, "{} on Epoch's value", row.name);
        for law in ["california-sb-53", "new-york-raise", "illinois-sb-315"] {
            assert_eq!(verdict(law, &own).verdict, row.us, "{} under {law}", row.name);
        }
    }
}

#[test]
fn hardware_gives_the_published_figures() {
    for (name, methods, expected) in [
        ("Transformer (big)", hardware("p100", "fp32", "8", "84", "0.33", "9.3e12"), "7.42e18"),
        ("LLaMA-65B", hardware("a100", "bf16", "2048", "504", "0.4746", "311.84e12"), "5.50e23"),
        ("Llama-2-70B", hardware("a100", "bf16", "1", "1720320", "0.40", "311.84e12"), "7.73e23"),
        // 384 chips for 117 days.
        ("BLOOM-176B", hardware("a100", "bf16", "384", "2808", "0.3", "314e12"), "3.66e23"),
        ("GPT-4", hardware("a100", "bf16", "25000", "2280", "0.34", ""), "2.18e25"),
    ] {
        let figure = flop(&ledger(&methods), Method::Hardware);
        assert_eq!(figure.rounded(3), d(expected), "{name}");
    }
    // Llama 3.1: what utilisation of the whole job the chip-hours come to.
    let full = flop(&ledger(&hardware("h100-sxm", "bf16", "1", "30.84e6", "1", "")), Method::Hardware);
    let utilisation = d("3.8e25").divided_by(&full, 3, Round::Down).unwrap();
    assert_eq!(utilisation, d("0.345"));
    assert!(utilisation < d("0.4"));
}

/// (b): a disagreement above 30 % is reported, and both ends are kept.
#[test]
fn methods_that_disagree_are_reported_and_never_averaged() {
    let palm = architecture("540.35e9", "780e9") + &hardware("tpu-v4", "bf16", "6144", "1368", "0.462", "");
    let palm = ledger(&palm);
    assert_eq!(flop(&palm, Method::Hardware).rounded(3), d("3.84e24"));
    let found = palm.disagreements();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].smaller, found[0].larger), (Method::Architecture, Method::Hardware));
    assert_eq!(found[0].times.rounded(3), d("1.52"));
    let whole = palm.entries[0].flop();
    let ends = (flop(&palm, Method::Architecture), flop(&palm, Method::Hardware));
    assert_eq!(whole, Interval::new(ends.0, ends.1));
    let warning = &palm.warnings()[0];
    assert!(
        warning.contains("architecture gives 2.529e24 FLOP, hardware gives 3.844e24 FLOP, 1.52 times"),
        "{warning}"
    );

    let llama = architecture("405e9", "15.6e12") + &hardware("h100-sxm", "bf16", "1", "30.84e6", "0.40", "");
    let llama = ledger(&llama);
    assert_eq!(flop(&llama, Method::Hardware).rounded(3), d("4.39e25"));
    assert!(llama.disagreements().is_empty(), "16 % is within 30 %");
    assert_eq!(llama.entries[0].flop().to_string(), "[3.791e25, 4.394e25]", "but both ends are kept");

    let deepseek =
        ledger(&(architecture("37e9", "14.8e12") + "stated = { flop = 4.56e24, source = \"Epoch AI\" }\n"));
    assert_eq!(deepseek.disagreements().len(), 1);
}

/// (c): GPT-4's 90 % interval is on both sides of the threshold; its point is not.
#[test]
fn gpt_4_is_indeterminate_on_its_interval() {
    let interval = verdict("eu-ai-act-1e25", &stated("[8.2e24, 4.4e25]"));
    assert_eq!((interval.verdict, interval.treated_as_in), (Indeterminate, true));
    assert_eq!(verdict("eu-ai-act-1e25", &stated("2.1e25")).verdict, In);
    assert_eq!(verdict("california-sb-53", &stated("[8.2e24, 4.4e25]")).verdict, Out);
}

/// (d): the advertised peak with sparsity is refused.
#[test]
fn sparse_peaks_are_refused_and_the_dense_one_named() {
    let text = format!("{HEAD}{}", hardware("h100-sxm", "bf16", "1", "1", "0.4", "1979e12"));
    let said = crate::support::said(compute::parse(&text));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("is the peak with sparsity / the dense peak of h100-sxm in bf16 is 989500000000000"),
        "{said:?}"
    );
    // The same number is the dense peak of another arithmetic.
    assert!(
        compute::parse(&format!("{HEAD}{}", hardware("h100-sxm", "fp8", "1", "1", "0.4", "1979e12"))).is_ok()
    );
    let wrong = format!("{HEAD}{}", hardware("a100", "bf16", "1", "1", "0.4", "400e12"));
    assert!(crate::support::said(compute::parse(&wrong))[0].contains("is more than its dense peak"));
}

/// (e): all parameters of a mixture of experts are not its active ones.
#[test]
fn total_parameters_do_not_pass_for_active_ones() {
    let moe = |active: &str| {
        format!(
            "{HEAD}architecture = {{ design = \"mixture_of_experts\", active_parameters = {active}, \
             total_parameters = 671e9, tokens = 14.8e12 }}\n"
        )
    };
    let right = compute::parse(&moe("37e9")).unwrap();
    assert_eq!(verdict("eu-ai-act-1e25", &right).verdict, Out);
    let said = crate::support::said(compute::parse(&moe("671e9")));
    assert!(said[0].contains("are active of") && said[0].contains("no mixture of experts"), "{said:?}");
    // What the trap would have cost: 6.0e25, wrongly in.
    let wrong = ledger(&architecture("671e9", "14.8e12"));
    assert_eq!(flop(&wrong, Method::Architecture).rounded(2), d("6e25"));
    assert_eq!(verdict("eu-ai-act-1e25", &wrong).verdict, In);
    let vague = moe("37e9").replace("active_parameters = 37e9", "parameters = 671e9");
    let said = crate::support::said(compute::parse(&vague)).join("\n");
    assert!(said.contains("does not say which parameters of a mixture of experts"), "{said}");
}

/// (f): epochs multiply.
#[test]
fn epochs_multiply() {
    let text = "architecture = { design = \"dense\", parameters = 1e9, tokens = 1e9, epochs = 4 }\n";
    assert_eq!(flop(&ledger(text), Method::Architecture), d("24e18"));
    let text = "architecture = { design = \"dense\", parameters = 1e9, tokens = 1e9, epochs = [1, 2.5] }\n";
    assert_eq!(ledger(text).entries[0].flop(), Interval::new(d("6e18"), d("15e18")));
}

/// (g): a teacher that was distilled from does not count in the EU's pack.
#[test]
fn categories_follow_the_law() {
    let mut text = HEAD.to_owned() + "stated = { flop = 5e24, source = \"x\" }\n";
    text += "[[entry]]\nname = \"teacher\"\ncategory = \"distillation_teacher\"\nbasis = \"inferred\"\n\
             stated = { flop = 3e25, source = \"x\" }\n";
    let ledger = compute::parse(&text).unwrap();
    let eu = verdict("eu-ai-act-1e25", &ledger);
    assert_eq!(eu.verdict, Out);
    assert!(
        eu.reasons.contains(&"`distillation_teacher`: 3e25 FLOP excluded".to_owned()),
        "{:?}",
        eu.reasons
    );
    // Discarded synthetic data counts.
    let text = text.replace("\"distillation_teacher\"", "\"synthetic_discarded\"");
    assert_eq!(verdict("eu-ai-act-1e25", &compute::parse(&text).unwrap()).verdict, In);
}

/// (h): sums are exact where floats lose.
#[test]
fn sums_are_exact() {
    let mut text = "format = \"loadline-compute/1\"\nmodel = \"m\"\nothers = \"none\"\n".to_owned();
    for (index, flop) in ["1e25", "1", "[0.1, 0.2]"].iter().enumerate() {
        text += &format!(
            "[[entry]]\nname = \"e{index}\"\ncategory = \"sft\"\nbasis = \"inferred\"\n\
             stated = {{ flop = {flop}, source = \"x\" }}\n"
        );
    }
    let ledger = compute::parse(&text).unwrap();
    let sum = Interval::new(d("10000000000000000000000001.1"), d("10000000000000000000000001.2"));
    assert_eq!(ledger.sum(&[loadline_policy::Category::Sft]), sum);
    // One FLOP more than the threshold is more than the threshold: a float could not tell.
    let over = verdict("california-sb-53", &stated("100000000000000000000000001"));
    assert_eq!(over.verdict, In);
    assert_eq!(verdict("california-sb-53", &stated("1e26")).verdict, Out);
    assert_eq!(verdict("south-korea", &stated("1e26")).verdict, In, "at least");
}

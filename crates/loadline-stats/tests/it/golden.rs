//! Golden values of other packages (scipy, statsmodels) on real data, from the shared test data.

use std::collections::HashMap;

use loadline_stats::compare::{self, Options, Pair};
use loadline_stats::proportion::Proportion;
use loadline_stats::{Accumulator, Estimate, Level, Method};
use serde_json::Value;

fn oracles() -> Option<Value> {
    let path = loadline_testkit::shared("data/oracles.json")?;
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn assert_interval(estimate: &Estimate, expected: &Value, what: &str) {
    for (got, expected) in
        [(estimate.interval.lo, number(&expected[0])), (estimate.interval.hi, number(&expected[1]))]
    {
        assert!((got - expected).abs() < 1e-10, "{what}: {got} instead of {expected}");
    }
}

#[test]
fn proportion_intervals_equal_statsmodels() {
    let Some(oracles) = oracles() else { return };
    let rows = oracles["proportion_ci"].as_array().unwrap();
    assert!(rows.len() > 50);
    for row in rows {
        let (k, n) = (row["k"].as_u64().unwrap(), row["n"].as_u64().unwrap());
        let proportion = Proportion::new(k, n).unwrap();
        let level = Level::new(1.0 - number(&row["alpha"])).unwrap();
        let what = format!("{k} of {n} at {level}");
        assert_interval(&proportion.wilson(level), &row["wilson"], &what);
        assert_interval(&proportion.clopper_pearson(level), &row["beta"], &what);
        // statsmodels leaves out the rule for the ends: 0 at k = 0 and 1 at k = n.
        let mut jeffreys = row["jeffreys"].clone();
        if k == 0 {
            jeffreys[0] = 0.0.into();
        }
        if k == n {
            jeffreys[1] = 1.0.into();
        }
        assert_interval(&proportion.jeffreys(level), &jeffreys, &what);
    }
}

#[test]
fn uniform_posteriors_equal_scipy() {
    let Some(oracles) = oracles() else { return };
    for row in oracles["beta_uniform_credible"].as_array().unwrap() {
        let proportion = Proportion::new(row["k"].as_u64().unwrap(), row["n"].as_u64().unwrap()).unwrap();
        let expected = serde_json::json!([row["lo"], row["hi"]]);
        assert_interval(&proportion.uniform_beta(Level::P95), &expected, &row.to_string());
    }
}

/// The 0/1 rows of a response matrix, by model.
fn response_matrix(name: &str) -> Option<HashMap<String, Vec<f64>>> {
    let path = loadline_testkit::shared(&format!("data/response-matrices/{name}"))?;
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let mut cells = line.split(',');
        let model = cells.next().unwrap().to_owned();
        (model, cells.map(|cell| cell.parse().unwrap_or(f64::NAN)).collect())
    };
    Some(text.lines().skip(1).map(row).collect())
}

#[test]
fn real_models_compared_on_gsm8k_equal_statsmodels() {
    let (Some(oracles), Some(scores)) = (oracles(), response_matrix("zeroeval_gsm.csv")) else { return };
    for row in oracles["paired_gsm"].as_array().unwrap() {
        let side = |key: &str| &scores[row[key].as_str().unwrap()];
        let pairs = || side("a").iter().zip(side("b")).filter(|(a, b)| a.is_finite() && b.is_finite());
        let result =
            compare::paired(pairs().map(|(a, b)| Pair { a: *a, b: *b, cluster: None }), Options::default())
                .unwrap();
        assert_eq!(result.pairs, row["n"].as_u64());
        let discordant = result.discordant.unwrap();
        assert_eq!(Some(discordant.a_only), row["b10"].as_u64());
        assert_eq!(Some(discordant.b_only), row["c01"].as_u64());
        assert!((result.a.point - number(&row["mean_a"])).abs() < 1e-14);
        assert!((result.b.point - number(&row["mean_b"])).abs() < 1e-14);
        assert!((result.difference.point - number(&row["diff"])).abs() < 1e-14);
        let p_value = result.p_value.unwrap().value;
        assert!((p_value / number(&row["mcnemar_exact_p"]) - 1.0).abs() < 1e-9, "{p_value}");
        // The t interval of the differences shows the standard error: half width over the t quantile.
        let mut differences = Accumulator::with_range(loadline_stats::mean::Range::Unbounded);
        pairs().for_each(|(a, b)| differences.push(a - b, None).unwrap());
        let estimate = differences.estimate(Level::P95).unwrap();
        assert_eq!(estimate.method, Method::T);
        let error = 0.5 * estimate.interval.width() / T_1318;
        assert!((error / number(&row["se_paired"]) - 1.0).abs() < 1e-9, "{error}");
    }
}

/// scipy 1.17: t.ppf(.975, 1318).
const T_1318: f64 = 1.961_765_512_767_314_6;

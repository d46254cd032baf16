//! Sums that do not depend on the order of their terms.
//!
//! Samples of a run finish in another order each time, and a resumed run adds them in yet another. Plain floating
//! addition would then give results that differ in the last digits; an exact sum, rounded once, does not.

/// An exact sum of doubles: a list of non-overlapping parts (Shewchuk 1997, "Adaptive precision floating-point
/// arithmetic"). For integers the list has one part; it never has more than about forty.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    parts: Vec<f64>,
}

impl ExactSum {
    /// Adds a finite number.
    pub(crate) fn add(&mut self, term: f64) {
        let mut carried = term;
        let mut kept = 0;
        for i in 0..self.parts.len() {
            let (sum, error) = two_sum(carried, self.parts[i]);
            if error != 0.0 {
                self.parts[kept] = error;
                kept += 1;
            }
            carried = sum;
        }
        self.parts.truncate(kept);
        if carried != 0.0 {
            self.parts.push(carried);
        }
    }

    /// Adds the exact product of two numbers.
    pub(crate) fn add_product(&mut self, x: f64, y: f64) {
        let product = x * y;
        self.add(product);
        self.add(x.mul_add(y, -product));
    }

    /// Adds another sum.
    pub(crate) fn add_sum(&mut self, other: &Self) {
        for part in &other.parts {
            self.add(*part);
        }
    }

    /// The sum, rounded once.
    pub(crate) fn value(&self) -> f64 {
        let mut rest = self.parts.iter().rev();
        let Some(first) = rest.next() else { return 0.0 };
        let (mut sum, mut error) = (*first, 0.0);
        for part in rest.by_ref() {
            (sum, error) = two_sum(sum, *part);
            if error != 0.0 {
                break;
            }
        }
        // What is left can only matter when the sum is exactly half-way between two doubles: then it breaks the tie.
        if let Some(next) = rest.next()
            && (error > 0.0) == (*next > 0.0)
        {
            let doubled = 2.0 * error;
            let moved = sum + doubled;
            if moved - sum == doubled {
                return moved;
            }
        }
        sum
    }

    /// The sum as a rounded value and the rounded remainder: twice the digits of a double.
    fn two_parts(&self) -> (f64, f64) {
        let high = self.value();
        let mut rest = self.clone();
        rest.add(-high);
        (high, rest.value())
    }
}

/// The rounded sum and its exact error (Knuth's two-sum).
fn two_sum(x: f64, y: f64) -> (f64, f64) {
    let sum = x + y;
    let y_part = sum - x;
    (sum, (x - (sum - y_part)) + (y - y_part))
}

/// Count, sum and sum of squares of numbers, without rounding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    pub(crate) n: u64,
    sum: ExactSum,
    squares: ExactSum,
}

impl Moments {
    pub(crate) fn push(&mut self, value: f64) {
        self.n += 1;
        self.sum.add(value);
        self.squares.add_product(value, value);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.sum.add_sum(&other.sum);
        self.squares.add_sum(&other.squares);
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sum.value()
    }

    /// The mean; 0 when there is nothing.
    pub(crate) fn mean(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.sum() / self.n as f64 }
    }

    /// Sum of squared distances from the mean, exactly 0 when all numbers are equal.
    pub(crate) fn squared_residuals(&self) -> f64 {
        if self.n == 0 {
            return 0.0;
        }
        // n Σx² - (Σx)², in twice the digits so that a small spread around a large mean survives.
        let n = self.n as f64;
        let (sum, sum_rest) = self.sum.two_parts();
        let (squares, squares_rest) = self.squares.two_parts();
        let mut scaled = ExactSum::default();
        scaled.add_product(n, squares);
        scaled.add_product(n, squares_rest);
        scaled.add_product(-sum, sum);
        scaled.add_product(-2.0 * sum, sum_rest);
        scaled.add_product(-sum_rest, sum_rest);
        let residuals = scaled.value() / n;
        // Below the rounding of the doubled digits there is nothing but rounding.
        if residuals <= 1e-28 * squares { 0.0 } else { residuals }
    }

    /// Unbiased variance; 0 for fewer than two numbers.
    pub(crate) fn variance(&self) -> f64 {
        if self.n < 2 { 0.0 } else { self.squared_residuals() / (self.n - 1) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cancelling_terms_leave_nothing_behind() {
        let mut sum = ExactSum::default();
        for term in [1e100, 1.0, -1e100, 1e-30, -1.0] {
            sum.add(term);
        }
        assert_eq!(sum.value(), 1e-30);
    }

    #[test]
    fn a_half_way_sum_rounds_as_exact_arithmetic_does() {
        // 1 + 2^-53 is a tie that goes to 1; a tiny third term breaks it upwards.
        let mut sum = ExactSum::default();
        for term in [1.0, 2f64.powi(-53), 2f64.powi(-110)] {
            sum.add(term);
        }
        assert_eq!(sum.value(), 1.0 + f64::EPSILON);
    }

    #[test]
    fn equal_numbers_have_no_spread_and_near_ones_have_theirs() {
        let mut equal = Moments::default();
        let mut near = Moments::default();
        for i in 0..1000 {
            equal.push(0.1);
            near.push(1e9 + f64::from(i % 2) * 1e-3);
        }
        assert_eq!(equal.squared_residuals(), 0.0);
        let step = (1e9 + 1e-3) - 1e9;
        assert!((near.squared_residuals() / (250.0 * step * step) - 1.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn order_does_not_change_a_bit(mut values in prop::collection::vec(-1e6..1e6f64, 1..60)) {
            let moments = |values: &[f64]| {
                let mut m = Moments::default();
                values.iter().for_each(|v| m.push(*v));
                (m.sum().to_bits(), m.squared_residuals().to_bits())
            };
            let forward = moments(&values);
            values.reverse();
            prop_assert_eq!(forward, moments(&values));
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(forward, moments(&values));
        }
    }
}

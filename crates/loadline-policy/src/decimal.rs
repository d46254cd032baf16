//! Exact decimals, and intervals of them. Every number of a verdict is one: no float decides anything.
//!
//! Sums and products are exact. What cannot be exact (a quotient, a bound that statistics computed) is rounded
//! outward, so that an interval never loses a value it held.

use std::fmt;
use std::str::FromStr;

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, RoundingMode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most significant digits that are read.
const MOST_DIGITS: usize = 64;
/// Largest power of ten that is read, either way.
const MOST_EXPONENT: i64 = 64;

/// An exact decimal number.
///
/// One value has one text: plain digits where the first digit stands between 10⁻⁹ and 10¹⁷ (`0.95`, `-3`,
/// `300000000000`), else scientific (`3.791e25`); no trailing zeros, no plus sign. JSON holds that text as a string,
/// and reading JSON accepts no other form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(BigDecimal);

/// Why a text is not a decimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not a number in digits.
    #[error("`{0}` is not a decimal number")]
    Syntax(String),
    /// More digits or a larger exponent than is read.
    #[error("`{0}` has more than {MOST_DIGITS} digits or an exponent beyond ±{MOST_EXPONENT}")]
    TooLarge(String),
    /// The same value has another, canonical text.
    #[error("`{0}` is not in canonical form: write `{1}`")]
    NotCanonical(String, String),
}

/// Which way a number that cannot be exact is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Towards -∞.
    Down,
    /// Towards ∞.
    Up,
}

impl Decimal {
    /// 0.
    pub fn zero() -> Self {
        Self::from(0)
    }

    /// 1.
    pub fn one() -> Self {
        Self::from(1)
    }

    /// The exact value of a finite float, moved outward by 10⁻¹² (more than the error of any bound that
    /// `loadline-stats` computes for a proportion) and rounded outward to `places` decimal places.
    pub fn outward(value: f64, places: u8, round: Round) -> Option<Self> {
        let exact = BigDecimal::try_from(value).ok()?;
        let slack = BigDecimal::new(BigInt::from(1), 12);
        let (moved, mode) = match round {
            Round::Down => (exact - slack, RoundingMode::Floor),
            Round::Up => (exact + slack, RoundingMode::Ceiling),
        };
        Some(Self::of(moved.with_scale_round(i64::from(places), mode)))
    }

    fn of(value: BigDecimal) -> Self {
        Self(value.normalized())
    }

    /// The exact sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self::of(&self.0 + &other.0)
    }

    /// The exact difference.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self::of(&self.0 - &other.0)
    }

    /// The exact product.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        Self::of(&self.0 * &other.0)
    }

    /// The quotient of two numbers that are not below zero, rounded to `places` decimal places. `None` when the
    /// divisor is zero or either is negative.
    pub fn divided_by(&self, divisor: &Self, places: u8, round: Round) -> Option<Self> {
        if !divisor.is_positive() || self.is_negative() {
            return None;
        }
        let (mut above, above_scale) = self.0.as_bigint_and_exponent();
        let (mut below, below_scale) = divisor.0.as_bigint_and_exponent();
        let shift = below_scale - above_scale + i64::from(places);
        let power = BigInt::from(10).pow(u32::try_from(shift.unsigned_abs()).ok()?);
        if shift >= 0 {
            above *= power
        } else {
            below *= power
        }
        if round == Round::Up {
            above += &below - BigInt::from(1);
        }
        Some(Self::of(BigDecimal::new(above / below, i64::from(places))))
    }

    /// The number with at most this many significant digits, for people only.
    pub fn rounded(&self, digits: u64) -> Self {
        let digits = std::num::NonZeroU64::new(digits).unwrap_or(std::num::NonZeroU64::MIN);
        Self::of(self.0.with_precision_round(digits, RoundingMode::HalfEven))
    }

    /// Above zero.
    pub fn is_positive(&self) -> bool {
        self.0.sign() == Sign::Plus
    }

    /// Below zero.
    pub fn is_negative(&self) -> bool {
        self.0.sign() == Sign::Minus
    }

    /// Between 0 and 1, the ends included.
    pub fn is_fraction(&self) -> bool {
        !self.is_negative() && *self <= Self::one()
    }

    /// The nearest float, for what `loadline-stats` takes. Its results come back through [`Decimal::outward`].
    pub fn nearest_float(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl From<u64> for Decimal {
    fn from(value: u64) -> Self {
        Self::of(BigDecimal::from(value))
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads `-12.5e-3` and the like: digits, at most one point with digits on both sides, an exponent.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let shown = || loadline_core::untrusted::one_line(text, 80);
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        let bare = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if !digits(whole) || !digits(part) || !digits(bare) {
            return Err(DecimalError::Syntax(shown()));
        }
        let too_large = || DecimalError::TooLarge(shown());
        let shift: i64 = exponent.parse().map_err(|_| too_large())?;
        if whole.len() + part.len() > MOST_DIGITS + 1 || shift.abs() > MOST_EXPONENT {
            return Err(too_large());
        }
        let all: BigInt = format!("{whole}{part}").parse().map_err(|_| DecimalError::Syntax(shown()))?;
        let places = i64::try_from(part.len()).map_err(|_| too_large())?;
        let value = Self::of(BigDecimal::new(all, places - shift));
        Ok(if unsigned.len() < text.len() { Self::of(-value.0) } else { value })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, scale) = self.0.as_bigint_and_exponent();
        if digits.sign() == Sign::NoSign {
            return f.write_str("0");
        }
        if self.is_negative() {
            f.write_str("-")?;
        }
        let digits = digits.magnitude().to_string();
        let first = i64::try_from(digits.len()).unwrap_or(i64::MAX) - 1 - scale;
        let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
        match (first, scale) {
            (-9..=17, 1..) if first < 0 => write!(f, "0.{}{digits}", zeros(-1 - first)),
            (-9..=17, 1..) => {
                let (whole, part) = digits.split_at(usize::try_from(first).unwrap_or(0) + 1);
                write!(f, "{whole}.{part}")
            }
            (-9..=17, _) => write!(f, "{digits}{}", zeros(-scale)),
            _ if digits.len() == 1 => write!(f, "{digits}e{first}"),
            _ => write!(f, "{}.{}e{first}", &digits[..1], &digits[1..]),
        }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let value: Self = text.parse().map_err(serde::de::Error::custom)?;
        let canonical = value.to_string();
        if canonical != *text {
            let shown = loadline_core::untrusted::one_line(&text, 80);
            return Err(serde::de::Error::custom(DecimalError::NotCanonical(shown, canonical)));
        }
        Ok(value)
    }
}

/// From `lo` to `hi`, both included; `hi` is absent when nothing bounds it from above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Lower end.
    pub lo: Decimal,
    /// Upper end; absent when unbounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hi: Option<Decimal>,
}

impl Interval {
    /// From one number to another.
    pub fn new(lo: Decimal, hi: Decimal) -> Self {
        Self { lo, hi: Some(hi) }
    }

    /// One number, known exactly.
    pub fn point(value: Decimal) -> Self {
        Self { lo: value.clone(), hi: Some(value) }
    }

    /// From 0 without an upper end: nothing is known of an amount.
    pub fn unknown() -> Self {
        Self { lo: Decimal::zero(), hi: None }
    }

    /// 0.
    pub fn zero() -> Self {
        Self::point(Decimal::zero())
    }

    /// The sum, exact at both ends.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let hi = self.hi.as_ref().zip(other.hi.as_ref()).map(|(a, b)| a.plus(b));
        Self { lo: self.lo.plus(&other.lo), hi }
    }

    /// The product of two intervals of amounts (not below zero), exact at both ends.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        let hi = self.hi.as_ref().zip(other.hi.as_ref()).map(|(a, b)| a.times(b));
        Self { lo: self.lo.times(&other.lo), hi }
    }

    /// The smallest interval that holds both.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        let hi = self.hi.as_ref().zip(other.hi.as_ref()).map(|(a, b)| a.max(b).clone());
        Self { lo: self.lo.clone().min(other.lo.clone()), hi }
    }

    /// The interval with each end moved out by a fraction of itself.
    #[must_use]
    pub fn widened(&self, margin: &Decimal) -> Self {
        let (less, more) = (Decimal::one().minus(margin), Decimal::one().plus(margin));
        Self { lo: self.lo.times(&less), hi: self.hi.as_ref().map(|hi| hi.times(&more)) }
    }

    /// How many times larger the one is than the other, between their nearest ends, to three places; `None` when
    /// they share a value or one of them has no bound there.
    pub fn gap(&self, other: &Self) -> Option<Decimal> {
        let (small, large) = if self.lo <= other.lo { (self, other) } else { (other, self) };
        let hi = small.hi.as_ref().filter(|hi| **hi < large.lo)?;
        large.lo.divided_by(hi, 3, Round::Up)
    }
}

impl fmt::Display for Interval {
    /// `3.79e25`, `[8.2e24, 4.4e25]`, `0 or more`: four significant digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |value: &Decimal| value.rounded(4);
        match &self.hi {
            None => write!(f, "{} or more", short(&self.lo)),
            Some(hi) if *hi == self.lo => write!(f, "{}", short(hi)),
            Some(hi) => write!(f, "[{}, {}]", short(&self.lo), short(hi)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn one_value_has_one_text() {
        for (text, canonical) in [
            ("0.950", "0.95"),
            ("-0", "0"),
            ("1e25", "1e25"),
            ("10.0e24", "1e25"),
            ("3.791E+25", "3.791e25"),
            ("300e9", "300000000000"),
            ("123456789012345678", "123456789012345678"),
            ("1234567890123456789", "1.234567890123456789e18"),
            ("0.000000001", "0.000000001"),
            ("0.0000000001", "1e-10"),
            ("-12.50", "-12.5"),
        ] {
            assert_eq!(d(text).to_string(), canonical);
            assert_eq!(d(canonical), d(text));
        }
    }

    #[test]
    fn what_is_not_a_plain_number_is_refused() {
        for text in
            ["", "-", "+1", ".5", "5.", "1e", "1_000", "inf", "nan", "0x10", "1,5", "١", "1e1.5", "--1"]
        {
            assert!(matches!(text.parse::<Decimal>(), Err(DecimalError::Syntax(_))), "{text}");
        }
        for text in ["1e65", "1e-65", "1e99999999999999999999", &"9".repeat(65)] {
            assert!(matches!(text.parse::<Decimal>(), Err(DecimalError::TooLarge(_))), "{text}");
        }
    }

    #[test]
    fn json_holds_the_canonical_text_only() {
        assert_eq!(serde_json::to_string(&d("0.950")).unwrap(), "\"0.95\"");
        assert_eq!(serde_json::from_str::<Decimal>("\"0.95\"").unwrap(), d("0.95"));
        let said = serde_json::from_str::<Decimal>("\"0.950\"").unwrap_err().to_string();
        assert!(said.contains("`0.950` is not in canonical form: write `0.95`"), "{said}");
        assert!(serde_json::from_str::<Decimal>("0.95").is_err(), "a float is not a decimal");
        assert!(serde_json::from_str::<Interval>(r#"{"lo":"1","lo":"2"}"#).is_err(), "duplicate key");
    }

    #[test]
    fn arithmetic_is_exact_where_floats_are_not() {
        assert_eq!(d("0.1").plus(&d("0.2")), d("0.3"));
        assert_eq!(d("6").times(&d("405e9")).times(&d("15.6e12")), d("3.7908e25"));
        assert_eq!(d("1e30").plus(&d("1")).minus(&d("1e30")), d("1"));
    }

    #[test]
    fn quotients_are_rounded_the_way_that_is_asked() {
        assert_eq!(d("2").divided_by(&d("3"), 3, Round::Down), Some(d("0.666")));
        assert_eq!(d("2").divided_by(&d("3"), 3, Round::Up), Some(d("0.667")));
        assert_eq!(d("1").divided_by(&d("4"), 3, Round::Up), Some(d("0.25")));
        assert_eq!(d("3.84e24").divided_by(&d("2.529e24"), 2, Round::Down), Some(d("1.51")));
        assert_eq!(d("1").divided_by(&Decimal::zero(), 3, Round::Up), None);
    }

    #[test]
    fn floats_come_in_outward() {
        assert_eq!(Decimal::outward(0.5, 9, Round::Down), Some(d("0.499999999")));
        assert_eq!(Decimal::outward(0.5, 9, Round::Up), Some(d("0.500000001")));
        assert_eq!(Decimal::outward(f64::NAN, 9, Round::Up), None);
    }

    #[test]
    fn intervals_keep_both_ends() {
        let a = Interval::new(d("1"), d("2"));
        assert_eq!(a.plus(&Interval::point(d("3"))), Interval::new(d("4"), d("5")));
        assert_eq!(a.times(&a), Interval::new(d("1"), d("4")));
        assert_eq!(a.plus(&Interval::unknown()).hi, None);
        assert_eq!(a.widened(&d("0.3")), Interval::new(d("0.7"), d("2.6")));
        assert_eq!(a.gap(&Interval::new(d("3"), d("9"))), Some(d("1.5")));
        assert_eq!(a.gap(&Interval::new(d("2"), d("9"))), None);
        assert_eq!(Interval::unknown().to_string(), "0 or more");
    }
}

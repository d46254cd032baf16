"""Bounds of a rate from counts, and what a test's rule says of them.

Written from docs/formats/policy.md and docs/statistics.md. Clopper-Pearson is exact (integers), Wilson has 60 digits;
the e-process is computed with floats, which is plenty where it is not within 1e-9 of its threshold.
"""

from decimal import Decimal, getcontext
from fractions import Fraction
from math import comb, inf, lgamma, log, log1p, exp

getcontext().prec = 60
BITS = 64


def binomial_tail(k, n, p):
    """2**(BITS * n) times P(X >= k) of Binomial(n, p / 2**BITS)."""
    q = (1 << BITS) - p
    return sum(comb(n, i) * p**i * q ** (n - i) for i in range(k, n + 1))


def clopper_lower(k, n, alpha):
    """The largest p at which P(X >= k) is at most alpha / 2, to 2**-64."""
    if k == 0:
        return Fraction(0)
    low, high = 0, 1 << BITS
    limit = alpha / 2 * (1 << BITS * n)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if binomial_tail(k, n, middle) <= limit else (low, middle)
    return Fraction(low, 1 << BITS)


def clopper_pearson(k, n, alpha):
    return clopper_lower(k, n, alpha), 1 - clopper_lower(n - k, n, alpha)


def two_pi():
    """2 pi by Machin's formula."""

    def arctan_inverse(x):
        total = power = Decimal(1) / x
        for i in range(1, 100):
            power /= -x * x
            total += power / (2 * i + 1)
        return total

    return 8 * (4 * arctan_inverse(Decimal(5)) - arctan_inverse(Decimal(239)))


ROOT_TWO_PI = two_pi().sqrt()


def quantile(upper):
    """z with P(Z > z) = upper, for upper from 1e-12 to 1/2, by halving."""

    def above(z):
        term = total = z
        i = 1
        while abs(term) > Decimal(10) ** -58:
            term *= z * z / (2 * i + 1)
            total += term
            i += 1
        return Decimal("0.5") - (-z * z / 2).exp() / ROOT_TWO_PI * total

    low, high = Decimal(0), Decimal(8)
    for _ in range(120):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) > upper else (low, middle)
    return low


def wilson(k, n, alpha):
    z = quantile(Decimal(alpha.numerator) / alpha.denominator / 2)
    n, rate = Decimal(n), Decimal(k) / n
    center = rate + z * z / (2 * n)
    half = z * (rate * (1 - rate) / n + z * z / (4 * n * n)).sqrt()
    scale = 1 + z * z / n
    low, high = max(Decimal(0), (center - half) / scale), min(Decimal(1), (center + half) / scale)
    return Fraction(low), Fraction(high)


def outward(bounds):
    """Moved outward by 1e-12, rounded outward to nine places."""
    low, high = bounds
    shift, places = Fraction(1, 10**12), 10**9
    low = Fraction((low - shift) * places // 1, places)
    high = Fraction(-((-(high + shift)) * places // 1), places)
    return max(low, Fraction(0)), min(high, Fraction(1))


def ln_beta(a, b):
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def ln_beta_tail(a, b, x):
    """ln P(B > x) of Beta(a, b), by the continued fraction of the incomplete beta function (Lentz)."""
    swap = x < (a + 1) / (a + b + 2)
    a, b, x = (a, b, x) if swap else (b, a, 1 - x)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + step * d), 1 + step / c
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    ln_part = a * log(x) + b * log1p(-x) - ln_beta(a, b) - log(a) + log(value)
    if not swap:
        return ln_part
    return log1p(-exp(ln_part)) if ln_part < 0 else -inf


def ln_e(successes, failures, p):
    """ln of the e-value against "the rate is at most p"."""
    a, b = 0.5 + successes, 0.5 + failures
    value = ln_beta(a, b) - ln_beta(0.5, 0.5) + ln_beta_tail(a, b, p) - ln_beta_tail(0.5, 0.5, p)
    return value - successes * log(p) - failures * log1p(-p)


def outcome(method, counts, requirement, confidence):
    """What a test's rule says: `allow`, `deny` or `undetermined`; `None` where floats cannot tell.

    `requirement` is `("at_least" | "at_most", Fraction)`. A sample without a score counts against the subject where the
    test is to be met, and for it where the test is to be shown as failed.
    """
    kind, limit = requirement
    n = counts["scored"] + counts["unscored"]
    if n == 0:
        return "undetermined"
    least, most = counts["successes"], counts["successes"] + counts["unscored"]
    bad, good = (least, most) if kind == "at_least" else (most, least)
    alpha = 1 - confidence
    if method == "anytime":
        over = ln_e_of(bad if kind == "at_least" else good, n, limit, True)
        under = ln_e_of(good if kind == "at_least" else bad, n, limit, False)
        needed = -log(alpha)
        if min(abs(over - needed), abs(under - needed)) < 1e-9:
            return None
        met, failed = (over, under) if kind == "at_least" else (under, over)
        return "allow" if met >= needed else "deny" if failed >= needed else "undetermined"
    bounds = {"clopper_pearson": clopper_pearson, "wilson": wilson}[method]
    against, favorable = outward(bounds(bad, n, alpha)), outward(bounds(good, n, alpha))
    if kind == "at_least":
        return "allow" if against[0] >= limit else "deny" if favorable[1] < limit else "undetermined"
    return "allow" if against[1] <= limit else "deny" if favorable[0] > limit else "undetermined"


def ln_e_of(successes, n, limit, above):
    """Evidence that the rate is above the limit, or below it."""
    if above:
        return ln_e(successes, n - successes, float(limit))
    return ln_e(n - successes, successes, float(1 - limit))

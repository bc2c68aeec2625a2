"""The statistics of certificates against exact arithmetic, enumeration and figures computed by hand.

`test_second_opinions.py` compares them with other libraries.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import product
from math import comb, log1p
from typing import TypeVar

import pytest

from llmguard.certification import (
    cohens_kappa,
    detect_drift,
    fixed_sequence,
    is_drawn,
    is_kept,
    labels_needed,
    labels_without_error,
)
from llmguard.certification.binomial import (
    binomial_cdf,
    binomial_pmf,
    binomial_sf,
    upper_bound,
)
from llmguard.certification.drift import drift_evidence, drift_rates
from llmguard.certification.eprocess import FRACTIONS, AuditResult, anytime_bound, largest, mean_wealth, wealth
from llmguard.certification.sequential_testing import least_accepted, loosest_certified
from llmguard.core.errors import UsageError


@pytest.mark.parametrize(
    ("k", "n", "p", "pmf", "cdf"),
    [(0, 0, 0.5, 1, 1), (-1, 5, 0.5, 0, 0), (5, 5, 0.0, 0, 1), (4, 5, 1.0, 0, 0), (5, 5, 1.0, 1, 1), (9, 5, 0.3, 0, 1)],
)
def test_the_binomial_at_its_edges(k: int, n: int, p: float, pmf: float, cdf: float) -> None:
    """No trials, certain outcomes, limits outside."""
    assert (binomial_pmf(k, n, p), binomial_cdf(k, n, p), binomial_sf(k, n, p)) == (pmf, cdf, 1 - cdf)


def test_arguments_that_are_no_distribution_are_refused() -> None:
    """A probability above 1, more successes than trials."""
    with pytest.raises(ValueError, match=r"p from 0 to 1, got n=3, p=1\.5"):
        binomial_cdf(1, 3, 1.5)
    with pytest.raises(ValueError, match="0 <= k <= n"):
        upper_bound(4, 3, 0.05)


# ------------------------------------------------------------------------------------------------- fixed sequence


@pytest.mark.parametrize(
    ("counts", "alpha", "delta", "expected"),
    [
        # (1 - .05)^58 = .0510, ^59 = .0485: 59 is the least that can prove 5 % at delta 5 %.
        ([(58, 0), (59, 0)], 0.05, 0.05, ["skipped", "certified"]),
        # P(Bin(93, .05) <= 1) = .0500 (+-): 1 of 92 does not, 1 of 93 does.
        ([(92, 1), (93, 1)], 0.05, 0.05, ["failed", "not tested"]),
        ([(93, 1)], 0.05, 0.05, ["certified"]),
        # A failure ends it, however good what follows.
        ([(100, 0), (100, 9), (400, 0)], 0.05, 0.05, ["certified", "failed", "not tested"]),
        # Once begun, too few accepted is a failure and no skip.
        ([(100, 0), (10, 0)], 0.05, 0.05, ["certified", "failed"]),
        ([(10, 0), (20, 0)], 0.05, 0.05, ["skipped", "skipped"]),
        ([(0, 0)], 0.05, 0.05, ["skipped"]),
    ],
)
def test_the_fixed_sequence_by_hand(
    counts: list[tuple[int, int]], alpha: float, delta: float, expected: list[str]
) -> None:
    """Skip while nothing can be proven, certify while p <= delta, stop at the first failure."""
    results = fixed_sequence(counts, alpha, delta)
    assert [result for result, _ in results] == expected
    last = [number for number, result in enumerate(expected) if result == "certified"][-1:]
    assert loosest_certified(results) == (last[0] if last else None)


def test_too_few_to_prove_anything_is_exact() -> None:
    """With one item more than ln(delta)/ln(1 - alpha), no error is enough; with one less it is not."""
    for alpha, delta in product((0.01, 0.02, 0.05, 0.1, 0.3), (0.01, 0.05, 0.1)):
        least = least_accepted(alpha, delta)
        assert (1 - alpha) ** int(least + 1) <= delta < (1 - alpha) ** int(least)


# ------------------------------------------------------------------------------------------------- e-process

Number = TypeVar("Number", float, Fraction)


def factor(
    fraction: Number, *, accepted: bool, wrong: bool, reviewed: bool, probability: Number, least: Number, alpha: Number
) -> Number:
    """The definition: what one item multiplies the wealth by. Exact on fractions, so that its expectation can be enumerated."""
    if not accepted or not reviewed:
        return 1 + 0 * fraction
    stake = fraction * least / (1 - alpha)
    return 1 - stake * (int(wrong) - alpha) / probability


def e_values(audits: Iterable[AuditResult], alpha: float, least: float) -> Iterator[float]:
    """The definition: the mean wealth after each audit, without the shortcuts of `largest`."""
    logs = [0.0] * len(FRACTIONS)
    for wrong, probability in audits:
        if wrong is not None:
            for number, fraction in enumerate(FRACTIONS):
                logs[number] += log1p(-fraction * least / (1 - alpha) * (wrong - alpha) / probability)
        yield mean_wealth(logs)


def expected_factor(
    fraction: Fraction, alpha: Fraction, risk: Fraction, coverage: Fraction, draws: tuple[Fraction, ...]
) -> Fraction:
    """E[factor] over accepted, wrong and reviewed, and over items of different probabilities of a draw."""
    least, total = min(draws), Fraction(0)
    for pi, accepted, wrong, reviewed in product(draws, (True, False), (True, False), (True, False)):
        weight = Fraction(1, len(draws)) * (coverage if accepted else 1 - coverage)
        weight *= (risk if wrong else 1 - risk) * (pi if reviewed else 1 - pi)
        total += weight * factor(
            fraction, accepted=accepted, wrong=wrong, reviewed=reviewed, probability=pi, least=least, alpha=alpha
        )
    return total


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [Fraction(1, 100), Fraction(1, 20), Fraction(3, 10)])
@pytest.mark.parametrize("excess", [Fraction(0), Fraction(1, 100), Fraction(1, 2)])
def test_wealth_is_a_supermartingale(alpha: Fraction, excess: Fraction) -> None:
    """By enumeration in fractions: E[factor] <= 1 wherever risk >= alpha, and exactly 1 at alpha; above 1 below it."""
    draws = (Fraction(1, 20), Fraction(1, 4), Fraction(1))
    for fraction, coverage in product(map(Fraction, FRACTIONS), (Fraction(1), Fraction(1, 3))):
        at = expected_factor(fraction, alpha, alpha + excess, coverage, draws)
        assert at == 1 if excess == 0 else at < 1
        assert expected_factor(fraction, alpha, alpha / 2, coverage, draws) > 1


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_wealth_is_never_negative(fraction: float) -> None:
    """The worst item takes a fraction of the wealth, never all."""
    worst = factor(fraction, accepted=True, wrong=True, reviewed=True, probability=0.05, least=0.05, alpha=0.02)
    assert 0 < worst < 1


def test_e_values_are_products_of_factors() -> None:
    """The mean over fractions of the product, whatever the probabilities; items not accepted change nothing."""
    audits: list[tuple[bool | None, float]] = [(False, 0.05), (None, 1.0), (True, 0.5), (False, 1.0)]
    products = [1.0] * len(FRACTIONS)
    expected = []
    for wrong, pi in audits:
        for number, fraction in enumerate(FRACTIONS):
            products[number] *= factor(
                fraction,
                accepted=wrong is not None,
                wrong=bool(wrong),
                reviewed=True,
                probability=pi,
                least=0.05,
                alpha=0.02,
            )
        expected.append(sum(products) / len(products))
    assert list(e_values(audits, 0.02, 0.05)) == pytest.approx(expected, rel=1e-13)
    assert largest(audits, 0.02, 0.05) == pytest.approx(max(expected))


def test_the_largest_wealth_is_the_largest_of_all_looks() -> None:
    """Looking only where wealth peaks finds what looking after every item finds."""
    chance = random.Random(8)
    for _ in range(50):
        audits = [(chance.choice([False, False, False, True, None]), chance.choice([0.05, 0.5])) for _ in range(60)]
        expected = max([1.0, *e_values(audits, 0.3, 0.05)])
        assert largest(audits, 0.3, 0.05) == pytest.approx(expected, rel=1e-12)


def test_wealth_from_counts_is_wealth_from_items() -> None:
    """With one probability, order does not matter for the last value."""
    audits = [(False, 0.2)] * 90 + [(True, 0.2)] * 2
    assert list(e_values(audits, 0.05, 0.2))[-1] == pytest.approx(wealth(90, 2, 0.05))


def test_a_bet_against_the_least_probability_is_refused() -> None:
    """A stake that a rarer draw could overdraw is no e-process."""
    with pytest.raises(UsageError, match=r"below the least of 0\.05"):
        largest([(False, 0.01)], 0.02, 0.05)


def test_the_anytime_bound_is_the_alpha_that_is_just_certified() -> None:
    """To a ten-thousandth."""
    audits: list[tuple[bool | None, float]] = [(False, 1.0)] * 178
    assert anytime_bound(audits, 0.10, 1.0) == 0.02


# ------------------------------------------------------------------------------------------------- labels, draws, drift


@pytest.mark.parametrize(
    ("alpha", "expected", "anytime"),
    [
        (0.01, [230, 667, 1658, 7007], 357),
        (0.02, [114, 333, 828, 3501], 178),
        (0.05, [45, 132, 330, 1354], 70),
        (0.10, [22, 65, 152, 653], 34),
    ],
)
def test_labels_needed_are_the_published_figures(alpha: float, expected: list[int], anytime: int) -> None:
    """By true error 0, alpha/4, alpha/2 and 3 alpha/4, at delta 0.10 and power 0.80."""
    assert [labels_needed(alpha, alpha * share) for share in (0, 0.25, 0.5, 0.75)] == expected
    assert labels_without_error(alpha, 0.10) == expected[0]
    assert labels_without_error(alpha, 0.10, "anytime") == anytime


@pytest.mark.slow
def test_labels_needed_keep_their_power() -> None:
    """From that number on, never below 80 %; one less, and it is."""
    needed = labels_needed(0.05, 0.0125)
    assert needed == 132

    def power(n: int) -> float:
        allowed = max((k for k in range(n) if binomial_cdf(k, n, 0.05) <= 0.1), default=-1)
        return binomial_cdf(allowed, n, 0.0125)

    assert all(power(n) >= 0.8 for n in range(needed, 800))
    assert power(needed - 1) < 0.8


@pytest.mark.parametrize("alpha", [0.3, 0.02, 0.001])
def test_labels_without_error_are_just_enough(alpha: float) -> None:
    """One less would not reach 1/delta."""
    needed = labels_without_error(alpha, 0.05, "anytime")
    assert wealth(needed, 0, alpha) >= 20 > wealth(needed - 1, 0, alpha)


def test_no_number_of_labels_certifies_what_is_too_bad() -> None:
    """At or above alpha, and so near below it that a million would not do."""
    assert labels_needed(0.05, 0.05) is None
    assert labels_needed(0.02, 0.0199) is None
    with pytest.raises(UsageError, match="got alpha=0"):
        labels_needed(0, 0)


def test_the_audit_draw_is_the_hash_of_the_id() -> None:
    """`int(HMAC-SHA256(secret, id)) / 2**256 < pi`: computed by hand, reproducible, another secret draws others."""
    import hashlib
    import hmac

    for name in ("a", "b", "\ud800"):
        share = int(hmac.new(b"s", name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest(), 16) / 2**256
        assert is_drawn(b"s", name, share + 1e-9)
        assert not is_drawn(b"s", name, share - 1e-9)
        assert is_drawn(b"s", name, 1)
        assert not is_drawn(b"s", name, 0)
    assert [is_drawn(b"s", str(n), 0.5) for n in range(40)] != [is_drawn(b"t", str(n), 0.5) for n in range(40)]
    with pytest.raises(UsageError, match=r"0\.05 is one in twenty"):
        is_drawn(b"s", "a", 5)


@pytest.mark.slow
def test_draws_and_thinning_have_their_rates() -> None:
    """About pi of all ids are drawn, and of these, independently, least / pi are kept."""
    drawn = [f"id-{number}" for number in range(20_000) if is_drawn(b"k", f"id-{number}", 0.25)]
    kept = [name for name in drawn if is_kept(b"k", name, 0.25, 0.05)]
    assert 4_800 < len(drawn) < 5_200
    assert 900 < len(kept) < 1_100
    assert is_kept(b"k", "x", 0.05, 0.05)


def reference_drift(items: list[bool], alpha: float) -> list[float]:
    """The definition, summed over all times at which the change may have begun."""
    found = []
    for t in range(1, len(items) + 1):
        rates = drift_rates(alpha)
        total = 0.0
        for r in rates:
            for start in range(1, t + 1):
                ratio = 1.0
                for wrong in items[start - 1 : t]:
                    ratio *= r / alpha if wrong else (1 - r) / (1 - alpha)
                total += ratio / (start * (start + 1))
        found.append(total / len(rates) + 1 / (t + 1))
    return found


def test_the_drift_evidence_is_its_definition() -> None:
    """The recursion gives the mixture over all beginnings of a change."""
    items = [False, True, False, False, True, True, False]
    assert list(drift_evidence(items, 0.1, 0.05)) == pytest.approx(reference_drift(items, 0.1))


def test_without_drift_the_evidence_is_a_martingale() -> None:
    """Enumerated: at the certified rate the expected evidence after any number of items is 1."""
    alpha = 0.2
    expected = 0.0
    for items in product((True, False), repeat=6):
        weight = alpha ** sum(items) * (1 - alpha) ** (6 - sum(items))
        expected += weight * list(drift_evidence(items, alpha, 0.05))[-1]
    assert expected == pytest.approx(1.0)


def test_rates_that_are_bet_on() -> None:
    """Multiples of alpha up to the middle between alpha and 1, at least one."""
    assert drift_rates(0.05) == pytest.approx((0.0625, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5))
    assert drift_rates(0.95) == pytest.approx((0.975,))
    with pytest.raises(UsageError, match="delta: expected a share"):
        detect_drift([False], 0.05, 1.0)


def test_a_jump_is_found_and_told() -> None:
    """Three times the promised rate, after five hundred good items."""
    found = detect_drift(
        [number % 20 == 0 for number in range(500)] + [number % 6 == 0 for number in range(400)], 0.05, 0.05
    )
    assert found.alarm_at is not None
    assert 500 < found.alarm_at < 900
    assert found.sentence().startswith(f"Drift: after {found.alarm_at} audited accepted outputs")
    assert (
        detect_drift([False] * 50, 0.05, 0.05).sentence()
        == "No drift in 50 audited accepted outputs, of which 0 were wrong."
    )


def test_kappa_by_hand() -> None:
    """Observed 0.7, by chance 0.5: (0.7 - 0.5) / (1 - 0.5); undefined where all verdicts are one."""
    pairs = [("right", "right")] * 20 + [("right", "wrong")] * 5 + [("wrong", "right")] * 10 + [("wrong", "wrong")] * 15
    assert (cohens_kappa(pairs).value, cohens_kappa(pairs).agreement, cohens_kappa(pairs).count) == (0.4, 0.7, 50)
    assert cohens_kappa([("right", "right")] * 3).value is None
    assert cohens_kappa([]).sentence() == "No outcome has both the judge's verdict and a person's."
    assert (
        cohens_kappa(pairs).sentence() == "The judge agrees with people on 70% of 50 outcomes; Cohen's kappa is 0.40."
    )


def test_choosing_is_counted_as_in_the_textbook() -> None:
    """The pmf sums to one and is C(n, k) p^k q^(n-k)."""
    assert sum(binomial_pmf(k, 40, 0.3) for k in range(41)) == pytest.approx(1, abs=1e-14)
    assert binomial_pmf(13, 40, 0.25) == pytest.approx(comb(40, 13) * 0.25**13 * 0.75**27, rel=1e-14)

"""The statistics, judged by simulation on made data, by scipy, and by hand."""

from functools import lru_cache

import numpy as np
import pytest
from scipy import stats

from poa_bench.report import bootstrap
from poa_bench.report.bootstrap import (
    DRAWS,
    Sample,
    better,
    differences,
    draw,
    error_of,
    holm,
    interval,
    p_value,
    picture_counts,
)
from poa_bench.runs.outcomes import ClassMeanOutcome, MeanOutcome
from tests.conftest import but_slow

SOME = 300  # draws in simulations, which are many


def made_bits(random, pictures, accuracy, of_repeats, of_pictures, repeats, gap=0.0):
    """Right or wrong (sizes, repeats, pictures) by a probit with crossed effects, and the true shares.

    The first size has the accuracy, the second that of a `gap` in the probit more; without several repeats the truth is
    that of the one repeat.
    """
    spread = np.sqrt(of_repeats**2 + of_pictures**2 + 1)
    start = stats.norm.ppf(accuracy) * spread
    shifts = of_repeats * random.normal(size=(2, repeats, 1))
    latent = start + np.array([0.0, gap])[:, None, None] + shifts + of_pictures * random.normal(size=pictures)
    bits = latent + random.normal(size=(2, repeats, pictures)) > 0
    if repeats == 1:
        return bits, stats.norm.cdf((start + np.array([0.0, gap]) + shifts[:, 0, 0]) / np.sqrt(of_pictures**2 + 1))
    return bits, stats.norm.cdf((start + np.array([0.0, gap])) / spread)


@lru_cache
def counts_of(pictures):
    return picture_counts(("made", "test", pictures))[:SOME].astype(np.float32)


def sampled(bits):
    """Samples in percent of (sizes, repeats, pictures), with common draws."""
    pictures = bits.shape[-1]
    counts = counts_of(pictures)
    draws = 100 * bits.astype(np.float32) @ counts.T / pictures
    names = tuple(range(bits.shape[1]))
    return [Sample(names, 100 * own.mean(1), drawn, pictures) for own, drawn in zip(bits, draws, strict=True)]


SETTINGS = {
    "1 seed, 50 %": (1, 400, 0.5, 0.0, 1.0),
    "1 seed, 95 %": (1, 400, 0.95, 0.0, 1.0),
    "3 seeds that hardly differ": (3, 400, 0.7, 0.02, 1.0),
    "3 seeds, most of it the seeds'": (3, 400, 0.7, 0.5, 1.0),
    "3 seeds, most of it by picture and seed": (3, 400, 0.7, 0.05, 0.5),
    "3 seeds, 95 %": (3, 400, 0.95, 0.05, 1.0),
    "5 seeds, most of it the seeds'": (5, 400, 0.5, 0.3, 1.0),
    "5 seeds that hardly differ": (5, 400, 0.5, 0.02, 1.0),
    "5 seeds, 95 %": (5, 400, 0.95, 0.1, 0.5),
}


@pytest.mark.parametrize("setting", but_slow(SETTINGS, list(SETTINGS)[:5]))
def test_intervals_cover_what_they_say(setting):
    """95 % intervals hold the truth in 93 to 97 % of made data sets, of a score and of a paired difference."""
    repeats, pictures, accuracy, of_repeats, of_pictures = SETTINGS[setting]
    random, trials = np.random.default_rng(1), 2000
    covered = np.zeros(2)
    for _ in range(trials):
        bits, truth = made_bits(random, pictures, accuracy, of_repeats, of_pictures, repeats, gap=0.2)
        first, second = sampled(bits)
        low, high = interval(first, is_share=True)
        covered[0] += low <= 100 * truth[0] <= high
        margin = differences([first, second]).margin[0, 1]
        covered[1] += abs(second.mean - first.mean - 100 * (truth[1] - truth[0])) <= margin
    assert ((covered / trials > 0.93) & (covered / trials < 0.97)).all(), covered / trials


def test_repeats_of_their_own_are_not_paired():
    random, trials, covered = np.random.default_rng(2), 800, 0
    for _ in range(trials):
        bits, truth = made_bits(random, 300, 0.6, 0.3, 1.0, 4, gap=0.3)
        first, second = sampled(bits)
        second = Sample(tuple("abcd"), second.values, second.draws, second.pictures)
        margin = differences([first, second]).margin[0, 1]
        covered += abs(second.mean - first.mean - 100 * (truth[1] - truth[0])) <= margin
    assert 0.93 < covered / trials < 0.97


@pytest.mark.parametrize(("repeats", "of_repeats"), [(1, 0.0), (3, 0.15)])
def test_the_best_is_in_its_group_and_a_made_tie_is_found(repeats, of_repeats):
    random, trials, kept, tied, sizes = np.random.default_rng(3), 300, 0, 0, 0
    gaps = np.array([0.0, -0.02, -0.05, -0.1, -0.2, -0.5, -0.8, -1.0])
    for _ in range(trials):
        latent = gaps[:, None, None] + of_repeats * random.normal(size=(8, repeats, 1)) + random.normal(size=400)
        group = ~better(sampled(latent + 0.5 * random.normal(size=(8, repeats, 400)) > 0), 1).any(1)
        kept, sizes = kept + group[0], sizes + group.sum()
        same = np.stack([gaps[0], gaps[0], gaps[5], gaps[6]])[:, None, None]
        latent = same + of_repeats * random.normal(size=(4, repeats, 1)) + random.normal(size=400)
        twins = ~better(sampled(latent + 0.5 * random.normal(size=(4, repeats, 400)) > 0), 1).any(1)
        tied += twins[:2].all()
    assert kept / trials >= 0.94 and tied / trials >= 0.9
    assert sizes / trials < 6  # half a standard deviation less is told apart


def test_of_equal_sizes_the_best_is_lost_as_rarely_as_said():
    """The hardest case: ten sizes of the same accuracy; each is in the group in about 95 % of made data."""
    random, trials = np.random.default_rng(4), 300
    kept = np.zeros(10)
    for _ in range(trials):
        kept += ~better(sampled(random.normal(size=300) + random.normal(size=(10, 1, 300)) > 0), 1).any(1)
    assert 0.93 < (kept / trials).mean() < 0.975


def test_the_error_of_one_run_is_the_binomial_one_and_that_of_a_pair_is_mcnemars():
    random = np.random.default_rng(0)
    first, second = random.random((2, 500)) < 0.8
    second[:300] = first[:300]
    pictures = ("made", "test", 500)
    drawn = draw({"a": MeanOutcome(first), "b": MeanOutcome(second)}, pictures)
    samples = [
        Sample((0,), np.array([100 * bits.mean()]), drawn[name][None], 500)
        for name, bits in (("a", first), ("b", second))
    ]
    share = first.mean()
    assert error_of(samples[0]) == pytest.approx(100 * (share * (1 - share) / 500) ** 0.5, rel=0.08)
    gains, losses = (second & ~first).sum(), (first & ~second).sum()
    by_hand = 100 * (gains + losses - (gains - losses) ** 2 / 500) ** 0.5 / 500
    assert differences(samples).error[0, 1] == pytest.approx(by_hand, rel=0.08)
    expected = 2 * stats.norm.sf(abs(gains - losses) / (gains + losses) ** 0.5)  # McNemar's test
    assert p_value(*samples) == pytest.approx(expected, abs=0.04)
    assert p_value(samples[0], samples[0]) == 1


def test_draws_are_those_of_scipys_bootstrap_in_distribution_and_the_same_in_every_report():
    counts = picture_counts(("made", "test", 400))
    assert (counts.sum(1) == 400).all() and counts.shape == (DRAWS, 400)
    assert counts.var() == pytest.approx(1 - 1 / 400, rel=0.02) and counts.mean(0).std() < 2 / DRAWS**0.5
    picture_counts.cache_clear()
    assert np.array_equal(picture_counts(("made", "test", 400)), counts)
    assert not np.array_equal(picture_counts(("made", "val", 400)), counts)
    values = np.random.default_rng(0).exponential(size=400)
    drawn = draw({0: MeanOutcome(values, scale=1.0)}, ("made", "test", 400))[0]
    oracle = stats.bootstrap([values], np.mean, method="percentile", rng=1)
    assert drawn.std() == pytest.approx(oracle.standard_error, rel=0.06)
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx(list(oracle.confidence_interval), abs=0.02)


def test_kinds_may_be_mixed():
    random = np.random.default_rng(0)
    bits, labels = random.random(60) < 0.5, random.integers(3, size=60)
    drawn = draw({"mean": MeanOutcome(bits), "class": ClassMeanOutcome(bits, labels)}, ("made", "test", 60))
    counts = picture_counts(("made", "test", 60))
    assert drawn["mean"] == pytest.approx(100 * counts.astype(float) @ bits / 60, rel=1e-5)
    assert drawn["class"] == pytest.approx(ClassMeanOutcome(bits, labels).scores(counts), rel=1e-5)


def test_an_interval_of_nothing_wrong_ends_where_binomials_do():
    always = Sample((0,), np.array([100.0]), np.full((1, DRAWS), 100.0), 50)
    exact = stats.binomtest(50, 50).proportion_ci(method="exact")
    assert interval(always, is_share=True) == pytest.approx((100 * exact.low, 100 * exact.high))
    never = Sample((0,), np.array([0.0]), np.zeros((1, DRAWS)), 50)
    exact = stats.binomtest(0, 50).proportion_ci(method="exact")
    assert interval(never, is_share=True) == pytest.approx((100 * exact.low, 100 * exact.high))


def test_repeats_alone_give_students_t():
    """Pictures without noise: the interval of three seeds is that of the t distribution."""
    values = np.array([70.0, 72.0, 75.0])
    sample = Sample((0, 1, 2), values, np.repeat(values[:, None], DRAWS, 1), 10**6)
    expected = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert interval(sample) == pytest.approx(expected, rel=1e-3)
    other = Sample((0, 1, 2), values[::-1] + 1, np.repeat(values[::-1, None] + 1, DRAWS, 1), 10**6)
    assert p_value(sample, other) == pytest.approx(stats.ttest_rel(values[::-1] + 1, values).pvalue, rel=0.05)


def test_holm_by_hand():
    assert holm([0.01, 0.02, 0.5, 0.04]) == pytest.approx([0.04, 0.06, 0.5, 0.08])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_of_costs_less_is_better():
    random = np.random.default_rng(0)
    samples = sampled(random.random((3, 1, 400)) < np.array([0.2, 0.5, 0.8])[:, None, None])
    assert better(samples, -1)[2].tolist() == [True, True, False] and not better(samples, -1)[0].any()
    assert better(samples, 1)[0].tolist() == [False, True, True] and bootstrap.LEVEL == 0.95

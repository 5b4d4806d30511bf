"""Pareto fronts, gains and rank correlations against brute force and hand-made cases."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from poa_bench.report.analysis import gains, pareto_front, rank_correlation
from poa_bench.report.frame import report_data
from poa_bench.report.sentences import payoff, rivals, summary, trust
from poa_bench.runs.results import results_frame
from tests.report.made import demo_results, made_result


@pytest.mark.parametrize("seed", range(20))
def test_pareto_front_is_what_brute_force_says(seed):
    random = np.random.default_rng(seed)
    cost = pd.Series(random.integers(0, 12, 40).astype(float))
    score = pd.Series(random.integers(0, 12, 40).astype(float))
    cost[random.integers(0, 40, 3)] = np.nan
    front = pareto_front(cost, score)
    for here in range(40):
        beaten = any(
            (cost[other] <= cost[here] and score[other] > score[here])
            or (cost[other] < cost[here] and score[other] >= score[here])
            for other in range(40)
        )
        twin = any(cost[other] == cost[here] and score[other] == score[here] for other in range(here))
        assert front[here] == (not beaten and not twin and cost[here] == cost[here])


def test_gain_needs_both_sides_and_clear_needs_the_seeds_apart():
    pretrained = [made_result(spec=spec, seed=seed) for spec in ("vit-w48-d4", "vit-w64-d4") for seed in (0, 1)]
    random = [made_result(initialisation="random", seed=seed, shift=9.95) for seed in (0, 1)]
    table = gains(report_data(results_frame([*pretrained, *random])), "pre-trained", "knn top1")
    assert table.gain["vit-w48-d4"] == pytest.approx(0.05)
    assert not table.clear["vit-w48-d4"]  # the worst pre-trained seed is below the best random one
    assert math.isnan(table.gain["vit-w64-d4"]) and table.pixels.isna().all()


def test_the_report_says_plainly_where_pretraining_does_not_pay():
    better = [made_result(spec=spec) for spec in ("vit-w48-d4", "vit-w64-d4")]
    controls = [made_result(initialisation="random"), made_result(spec="vit-w64-d4", initialisation="random", shift=12)]
    controls.append(made_result(spec=None, initialisation="pixels", shift=23))
    (sentence,) = payoff(report_data(results_frame([*better, *controls])))
    assert "does NOT pay off at vit-w64-d4." in sentence
    assert "NOT above raw pixels (68.00): vit-w48-d4, vit-w64-d4." in sentence


def test_nothing_is_claimed_without_a_control():
    (sentence,) = payoff(report_data(results_frame([made_result()])))
    assert "the gain is unknown" in sentence


def test_the_summary_names_the_best_and_the_cheapest_near_it():
    sentences = summary(report_data(results_frame(demo_results())))
    assert sentences[0].startswith("170 runs: 12 sizes cut from 1 pre-trained network, scored on knn top1, linear top1")
    assert sentences[1] == (
        "knn top1: the best of 12 sizes is vit-w96-d8 with 74.10, above random initialisation (64.10) and raw pixels "
        "(45.00); it is the largest; vit-w80-d8 is within 1 of it with 69 % of its parameters; the smallest, "
        "vit-w48-d4, loses 7.00 and has 12 % of its parameters."
    )


def test_the_summary_is_true_where_the_smallest_is_the_best_or_nearly():
    control = made_result(spec=None, initialisation="pixels")
    best = [made_result(), *(made_result(spec=spec, shift=-5) for spec in ("vit-w64-d4", "vit-w80-d4")), control]
    assert summary(report_data(results_frame(best)))[1] == (
        "knn top1: the highest of 3 sizes is vit-w48-d4 with 67.00, above raw pixels (45.00); the size of the noise is "
        "unknown; the largest, vit-w80-d4, has 64.00; it is the smallest."
    )
    near = [made_result(), *(made_result(spec=spec, shift=-0.5) for spec in ("vit-w56-d4", "vit-w64-d4")), control]
    assert summary(report_data(results_frame(near)))[1].endswith(
        "is vit-w64-d4 with 67.50, above raw pixels (45.00); the size of the noise is unknown; it is the largest; "
        "vit-w48-d4 is within 1 of it with 56 % of its parameters."
    )


def test_the_summary_says_how_far_to_trust_the_numbers():
    one = [made_result(), made_result("linear"), made_result(spec="vit-w64-d4")]
    by = "The sizes above are ranked by the scores shown; to choose one, `pick` takes validation scores where there "
    assert trust(report_data(results_frame(one)), missing=1) == [
        "Every score comes from one run: its spread is unknown, and a small difference between sizes may be chance.",
        by + "are any (none here).",
        "1 run is missing from the table; no mean is taken over the gaps.",
    ]
    metrics = {"top1": 70.0, "val_top1": 71.0}
    judged = made_result("linear", metrics=metrics, units={})
    assert trust(report_data(results_frame([*(made_result(seed=seed) for seed in range(3)), judged])), missing=0) == [
        "Scores are means over 1 to 3 runs; where there are several, ± is the standard deviation over 3 measurement "
        "seeds. How much another pre-training would differ is unknown.",
        "Scores are within the noise where they differ by at most 2 standard errors of their difference; these come "
        "from repeats and from the number of test pictures, where the results say them; for linear top1 they say "
        "neither.",
        by + "are any (linear top1).",
    ]
    old = [made_result("linear", seed=0, protocol="linear-logreg-grid13-valsplit/1"), made_result("linear")]
    mixed = trust(report_data(results_frame([*old, made_result(), made_result(seed=1)])), missing=0)
    assert mixed[0].startswith("Scores are means over 1 to 2 runs")
    assert mixed[3].startswith("1 run is stale and left out")


def test_the_summary_says_over_which_seeds_the_spread_is():
    repeats = [
        made_result(seed=seed, sha=str(pretraining) * 64, pretraining_seed=pretraining, facts={"series": "POA"})
        for pretraining in (1, 2)
        for seed in (0, 1, 2)
    ]
    random = [made_result(initialisation="random", seed=seed) for seed in (0, 1)]
    text, *_ = trust(report_data(results_frame([*repeats, *random])), missing=0)
    assert text == (
        "Scores are means over 2 to 6 runs; where there are several, ± is the standard deviation over 2 pre-training "
        "seeds, else over 2 measurement seeds (of random networks: of their initialisation too)."
    )


def test_a_network_is_compared_with_others_at_common_sizes():
    alone = [made_result(spec="vit-w64-d4", checkpoint="alone.pth", sha="b" * 64, shift=-2)]
    both = [made_result(), made_result(spec="vit-w64-d4"), *alone]
    assert rivals(report_data(results_frame(both))) == [
        "knn top1: epoch_10 (aaaaaaaa) is ahead of alone (bbbbbbbb) at 1 of 1 common size; the difference is +2.00."
    ]
    assert rivals(report_data(results_frame(both[:2]))) == []


def test_rank_correlation_is_spearmans_over_the_sizes_with_both():
    specs = [f"vit-w{width}-d4" for width in (16, 32, 48, 64, 80)]
    shifts = [0, 5, -3, 2, 1]
    knn = [made_result(spec=spec) for spec in specs]
    detection = [made_result("detection", spec, shift=shift) for spec, shift in zip(specs[:4], shifts, strict=False)]
    data = report_data(results_frame([*knn, *detection]))
    pairs = rank_correlation(data, "pre-trained").set_index(["first", "second"])
    pair = pairs.loc[("knn top1", "detection bbox_mAP")]
    expected = stats.spearmanr([1, 2, 3, 4], [1 + 0, 2 + 5, 3 - 3, 4 + 2]).statistic
    assert pair.rho == pytest.approx(expected) and pair.sizes == 4


def test_two_sizes_have_no_rank_correlation():
    results = [made_result(task, spec) for task in ("knn", "linear") for spec in ("vit-w48-d4", "vit-w64-d4")]
    assert rank_correlation(report_data(results_frame(results)), "pre-trained").rho.isna().all()

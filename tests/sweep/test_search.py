"""The search finds the optimum of the published tables in a quarter of the evaluations, and of a real checkpoint."""

import csv
from collections import Counter

import pytest

from poa_bench.elastic import SubnetSpec
from poa_bench.errors import InputError
from poa_bench.sweep.results import load_results
from poa_bench.sweep.search import Limits, evolve, search
from tests.conftest import REPOSITORY


def published(family):
    """Top-1 k-NN accuracy of every size, paper tables 13 and 14."""
    name = {"vit": "vit_143_sizes.csv", "swin": "swin_39_sizes.csv"}[family]
    with (REPOSITORY / "reports" / "published" / name).open() as file:
        return {SubnetSpec.parse(row["spec"]): float(row["value"]) for row in csv.DictReader(file)}


def cost(spec):
    return spec.width**2 * spec.depths[0] * 12 / 1e6  # ViT: millions of parameters in the blocks


def evaluations_and_best(table, budget, seed):
    asked = Counter()

    def score(specs):
        asked.update(specs)
        return {spec: table[spec] for spec in specs}

    found = evolve({spec: cost(spec) for spec in table}, score, budget, seed)
    assert max(asked.values()) == 1 and asked.total() == len(found) <= budget
    assert list(found.values()) == sorted(found.values(), reverse=True)
    return found


@pytest.mark.parametrize("family, most", [("vit", None), ("vit", 50), ("vit", 100), ("vit", 200), ("swin", None)])
def test_optimum_of_the_paper_in_a_quarter_of_the_evaluations(family, most):
    table = {spec: value for spec, value in published(family).items() if most is None or cost(spec) <= most}
    budget = len(table) // 4
    hits = [max(evaluations_and_best(table, budget, seed).values()) == max(table.values()) for seed in range(50)]
    assert sum(hits) >= 49, f"{sum(hits)} of 50 seeds with {budget} of {len(table)} evaluations"


def test_better_than_chance_where_cost_says_nothing():
    """Accuracy falls with cost here, so that the first population is of no help."""
    table = {spec: -value for spec, value in published("vit").items()}
    hits = [max(evaluations_and_best(table, 36, seed).values()) == max(table.values()) for seed in range(50)]
    assert sum(hits) >= 25, "drawing without replacement would find it 12 or 13 times"


def test_a_seed_repeats_itself_and_failed_sizes_are_worst():
    table = published("swin")
    assert list(evaluations_and_best(table, 9, 3)) == list(evaluations_and_best(table, 9, 3))
    found = evolve(dict.fromkeys(table, 1.0), lambda specs: {}, 9)
    assert set(found.values()) == {float("-inf")}
    assert len(evolve(dict.fromkeys(table, 1.0), lambda specs: {s: table[s] for s in specs}, 100)) == 39


def test_exhaustive_search_of_a_checkpoint_within_limits(checkpoint, few_images, tmp_path):
    data = {"dataset": "few-digits", "settings": {"config": few_images}}
    lines = []
    everything = search(checkpoint, str(tmp_path), **data, report=lines.append, jobs=1)
    assert (len(everything.scores), everything.candidates, everything.metric) == (6, 6, "top1")
    assert "6 sizes within the limits" in lines[0]
    small = search(checkpoint, str(tmp_path), **data, limits=Limits(parameters=60_000), report=lines.append)
    assert {str(spec) for spec in small.scores} < {str(spec) for spec in everything.scores}
    assert all(everything.scores[spec] == value for spec, value in small.scores.items())
    assert everything.scores[everything.best] == max(everything.scores.values())
    with pytest.raises(InputError, match="the smallest has"):
        search(checkpoint, str(tmp_path), **data, limits=Limits(macs=10))


def test_a_search_with_a_budget_and_a_latency_limit(checkpoint, few_images, tmp_path):
    data = {"dataset": "few-digits", "settings": {"config": few_images}}
    found = search(checkpoint, str(tmp_path), **data, limits=Limits(latency_ms=1e6), budget=3, jobs=1)
    assert (len(found.scores), found.candidates) == (3, 6)
    results, _ = load_results(tmp_path)
    assert Counter(result.task for result in results) == {"knn": 3, "profile": 3}
    assert {result.spec: result.primary for result in results if result.task == "knn"} == {
        str(spec): score for spec, score in found.scores.items()
    }
    lines = []
    with pytest.raises(InputError, match="none of the sizes measured is within the limits"):
        search(checkpoint, str(tmp_path), **data, limits=Limits(latency_ms=1e-6), budget=3, report=lines.append, jobs=1)
    assert sum("ms, over the limit" in line for line in lines) == 3

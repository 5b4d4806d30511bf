"""The search finds the optimum of the published tables in a quarter of the evaluations, and of a real checkpoint."""

import csv
from collections import Counter
from types import SimpleNamespace

import pytest

from poa_bench.elastic import SubnetSpec
from poa_bench.errors import InputError
from poa_bench.runs.results import load_results
from poa_bench.sweep.search import Limits, _Timed, describe, evolve, search
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
    assert (len(everything.scores), everything.candidates, everything.metric) == (6, 6, "val_top1")
    assert "6 sizes within the limits" in lines[0]
    small = search(checkpoint, str(tmp_path), **data, limits=Limits(parameters=60_000), report=lines.append)
    assert {str(spec) for spec in small.scores} < {str(spec) for spec in everything.scores}
    assert all(everything.scores[spec] == value for spec, value in small.scores.items())
    assert everything.scores[everything.best] == max(everything.scores.values())
    with pytest.raises(InputError, match="the smallest has"):
        search(checkpoint, str(tmp_path), **data, limits=Limits(macs=10))


def made(spec, metrics):
    return SimpleNamespace(metrics=metrics, primary=metrics["top1"], split="test", run_id=f"run of {spec}")


def test_a_size_is_chosen_by_validation_scores_and_where_there_are_none_it_is_said(checkpoint, tmp_path, monkeypatch):
    """By validation the smaller of two sizes is the best, by test the larger."""
    scores = {"vit-w32-d2": (50.0, 80.0), "vit-w48-d4": (90.0, 60.0)}

    def results(self, specs):
        kept = {spec: scores[str(spec)] for spec in specs if str(spec) in scores}
        return {
            spec: made(spec, {"top1": test} | ({} if val is None else {"val_top1": val}))
            for spec, (test, val) in kept.items()
        }

    monkeypatch.setattr("poa_bench.sweep.search._Measure.results", results)
    found = search(checkpoint, str(tmp_path), report=lambda line: None)
    assert (str(found.best), found.metric, found.reported[found.best]) == ("vit-w32-d2", "val_top1", 50.0)
    text = describe(found, checkpoint)
    assert "vit-w32-d2: val_top1 80.00, top1 50.00\n" in text
    assert "chosen by val_top1; nothing was chosen on the test split\nchosen: vit-w32-d2;" in text
    scores = {"vit-w32-d2": (50.0, None), "vit-w48-d4": (90.0, None)}
    found = search(checkpoint, str(tmp_path), report=lambda line: None)
    assert (str(found.best), found.metric) == ("vit-w48-d4", "top1")
    assert "there are no validation scores: chosen on the test split itself" in describe(found, checkpoint)
    scores = {"vit-w32-d2": (50.0, 80.0), "vit-w48-d4": (90.0, None)}
    with pytest.raises(InputError, match="with validation scores and without .* give the search another folder"):
        search(checkpoint, str(tmp_path), report=lambda line: None)


def test_a_search_with_a_budget_and_a_latency_limit(checkpoint, few_images, tmp_path):
    data = {"dataset": "few-digits", "settings": {"config": few_images}}
    found = search(checkpoint, str(tmp_path), **data, limits=Limits(latency_ms=1e6), budget=3, jobs=1)
    assert (len(found.scores), found.candidates) == (3, 6)
    results, _ = load_results(tmp_path)
    assert Counter(result.task for result in results) == {"knn": 3, "profile": 3}
    knn = {result.spec: result for result in results if result.task == "knn"}
    assert {spec: result.metrics["val_top1"] for spec, result in knn.items()} == {
        str(spec): score for spec, score in found.scores.items()
    }
    assert found.reported == {spec: knn[str(spec)].primary for spec in found.scores} and found.split == "test"
    lines = []
    with pytest.raises(InputError, match="none of the sizes measured is within the limits"):
        search(checkpoint, str(tmp_path), **data, limits=Limits(latency_ms=1e-6), budget=3, report=lines.append, jobs=1)
    assert sum("ms, over the limit" in line for line in lines) == 3


def test_a_latency_of_a_busy_machine_is_said_where_it_rules_a_size_out():
    quick, slow, busy = (SubnetSpec.parse(f"vit-w{width}-d2") for width in (16, 32, 48))
    facts = {quick: (1.0, {}), slow: (9.0, {}), busy: (9.0, {"disturbed": "batch 1: waited for a processor"})}
    profiles = {spec: SimpleNamespace(primary=time, facts=said) for spec, (time, said) in facts.items()}
    lines = []

    class Measure:
        report = lines.append

        def __call__(self, specs):
            return dict.fromkeys(specs, 1.0)

    timed = _Timed(Measure(), SimpleNamespace(results=lambda specs: profiles), 5.0)
    assert timed([*facts]) == {quick: 1.0}
    over = "9.00 ms, over the limit"
    assert lines == [f"{slow}: {over}", f"{busy}: {over}, but other work disturbed it"]

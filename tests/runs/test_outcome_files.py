"""Outcomes on disk: what was written is read, small, and what is broken or another run's is said in one sentence."""

import json

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from poa_bench.errors import InputError
from poa_bench.runs.outcome_files import CLOSE, OUTCOMES_FILE, check_outcomes, read_outcomes, write_outcomes
from poa_bench.runs.outcomes import ClassMeanOutcome, MeanOutcome, Outcome, RatioOutcome
from poa_bench.runs.results import read_result, write_result
from tests.report.made import made_result

DRAW = np.random.default_rng(0)
RIGHT, LABELS = DRAW.random(50_000) < 0.8, np.sort(DRAW.integers(1000, size=50_000))
ACCURACIES = {
    "top1": MeanOutcome(RIGHT),
    "top5": MeanOutcome(RIGHT | (DRAW.random(50_000) < 0.5)),
    "balanced_top1": ClassMeanOutcome(RIGHT, LABELS),
    "val_top1": MeanOutcome(RIGHT[:1000], split="val"),
}
OTHERS = {
    "nll": MeanOutcome(DRAW.exponential(size=30), scale=1.0),
    "mIoU": RatioOutcome(DRAW.integers(9, size=(30, 4)), DRAW.integers(9, 70_000, size=(30, 4))),
}


def test_what_was_written_is_read(tmp_path):
    sha = write_outcomes(ACCURACIES | OTHERS, tmp_path / OUTCOMES_FILE)
    found = read_outcomes(tmp_path / OUTCOMES_FILE, sha)
    assert found.keys() == ACCURACIES.keys() | OTHERS.keys()
    for name, outcome in (ACCURACIES | OTHERS).items():
        assert type(found[name]) is type(outcome) and found[name].split == outcome.split
        assert found[name].score == pytest.approx(outcome.score, rel=1e-6)
        weights = DRAW.integers(3, size=(2, outcome.pictures))
        np.testing.assert_allclose(found[name].scores(weights), outcome.scores(weights), rtol=1e-6)


def test_fifty_thousand_pictures_are_kilobytes_and_every_writing_is_the_same(tmp_path):
    first = write_outcomes(ACCURACIES, tmp_path / "a")
    assert first == write_outcomes(ACCURACIES, tmp_path / "b")
    assert (tmp_path / "a").stat().st_size < 20_000
    with np.load(tmp_path / "a") as arrays:  # numpy's own reader, no pickle; RIGHT is kept once
        assert len(arrays.files) == 1 + 4
        assert all(array.dtype != object for array in arrays.values())


def test_balanced_accuracy_of_any_weights_is_scikit_learns():
    labels, said = DRAW.integers(4, size=60), DRAW.integers(4, size=60)
    outcomes = [ClassMeanOutcome(labels == guess, labels) for guess in (said, labels, said[::-1])]
    outcomes.append(ClassMeanOutcome(said == labels[::-1], said))  # other labels in the same call
    weights = DRAW.integers(3, size=(5, 60))
    weights[0, labels == 3] = 0  # no picture of a class is left
    pairs = [(labels, said), (labels, labels), (labels, said[::-1]), (said, labels[::-1])]
    expected = [
        [100 * balanced_accuracy_score(true[row > 0], guess[row > 0], sample_weight=row[row > 0]) for row in weights]
        for true, guess in pairs
    ]
    np.testing.assert_allclose(ClassMeanOutcome.together(outcomes, weights), expected)
    np.testing.assert_allclose(outcomes[0].scores(weights), expected[0])


@pytest.mark.parametrize("outcomes", [list(ACCURACIES.values())[:2], [OTHERS["mIoU"]]], ids=["means", "ratios"])
def test_many_runs_together_are_the_same_as_each_alone(outcomes):
    weights = DRAW.integers(4, size=(3, outcomes[0].pictures)).astype(np.uint8)
    alone = np.stack([outcome.scores(weights) for outcome in outcomes])
    np.testing.assert_allclose(type(outcomes[0]).together(outcomes, weights), alone, rtol=1e-5)


def test_a_result_takes_its_outcomes_along(tmp_path):
    result = made_result(metrics={"top1": MeanOutcome(RIGHT).score}).with_outcomes({"top1": MeanOutcome(RIGHT)})
    read = read_result(write_result(result, tmp_path / "here"))
    assert read.outcomes["top1"].pictures == 50_000 and read.run_id == result.run_id
    again = read_result(write_result(read.model_copy(update={"facts": {"series": "other"}}), tmp_path / "there"))
    np.testing.assert_array_equal(again.outcomes["top1"].values, RIGHT)
    assert again.outcomes_sha256 == read.outcomes_sha256
    old = read_result(write_result(made_result(), tmp_path / "old"))
    assert dict(old.outcomes) == {} and old.outcomes_sha256 is None


def test_a_missing_a_foreign_and_a_broken_file_are_said(tmp_path):
    result = made_result(metrics={"top1": MeanOutcome(RIGHT).score}).with_outcomes({"top1": MeanOutcome(RIGHT)})
    path = write_result(result, tmp_path)
    kept = path.with_name(OUTCOMES_FILE)
    whole = kept.read_bytes()
    for contents, message in ((whole[:100], "it is another run's"), (None, "there is no file")):
        kept.unlink()
        if contents is not None:
            kept.write_bytes(contents)
        with pytest.raises(InputError, match=message):
            dict(read_result(path).outcomes)
    kept.write_bytes(whole[:100])
    with pytest.raises(InputError, match="holds no outcomes that can be read"):
        read_outcomes(kept)
    np.savez(kept, outcomes=np.array(json.dumps({"top1": {"kind": "Unknown", "fields": {}}})))
    with pytest.raises(InputError, match="of the kind 'Unknown', and known are ClassMeanOutcome, MeanOutcome.*install"):
        read_outcomes(kept.with_suffix(".npz"))
    np.savez(kept, outcomes=np.array([{"a": 1}], dtype=object))  # pickled: never opened
    with pytest.raises(InputError, match="allow_pickle"):
        read_outcomes(kept)


def test_outcomes_that_are_not_the_metrics_are_refused():
    outcome = MeanOutcome(np.array([True, False]))
    check_outcomes({"top1": outcome}, {"top1": 50.0 + CLOSE})
    with pytest.raises(InputError, match="'top1' score 50, but the metric is 51"):
        check_outcomes({"top1": outcome}, {"top1": 51.0})
    with pytest.raises(InputError, match="'top2', which is no metric of top1"):
        check_outcomes({"top2": outcome}, {"top1": 50.0})


def test_a_kind_of_a_package_of_yours_is_known_once_it_is_imported(tmp_path):
    class LargestOutcome(MeanOutcome):
        def scores(self, counts):
            return np.where(counts > 0, self.values, 0).max(1)

    write_outcomes({"largest": LargestOutcome(np.array([1.0, 3.0, 2.0]))}, tmp_path / OUTCOMES_FILE)
    assert read_outcomes(tmp_path / OUTCOMES_FILE)["largest"].score == 3
    del Outcome.kinds["LargestOutcome"]

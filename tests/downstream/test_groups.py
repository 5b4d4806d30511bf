"""What one run cannot do is its own failure, in its own words: the others of its group are measured."""

import numpy as np
import pytest
import torch
from PIL import Image

from poa_bench.cli import main
from poa_bench.downstream.features import class_features
from poa_bench.errors import InputError
from poa_bench.runs.results import load_results
from poa_bench.runs.run import Run
from poa_bench.sweep.light import evaluate_checkpoint, plan_light
from poa_bench.tasks import session
from poa_bench.tasks.light import run_light
from tests.downstream.networks import tiny_supernet, write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(write_checkpoint(tiny_supernet("vit"), tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth"))


def pictures(folder, counts: dict[str, int]) -> None:
    """Pictures of 32 px, each class one colour and noise."""
    rng = np.random.default_rng(0)
    for place, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(0, 40, (32, 32, 3))
            noise[..., place % 3] += 150
            Image.fromarray(noise.astype(np.uint8)).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Evaluation configs by the number of train pictures a class."""
    folder = tmp_path_factory.mktemp("data")
    pictures(folder / "test", {"a": 2, "b": 2, "c": 2})
    paths = {}
    for count in (1, 5):
        pictures(folder / f"train{count}", {"a": count, "b": count, "c": count})
        splits = [
            f"{split}=dict(type='poa_bench.Images', path='{folder / path}')"
            for split, path in (("train", f"train{count}"), ("test", "test"))
        ]
        paths[count] = folder / f"few{count}.py"
        paths[count].write_text(
            f"evaluation = dict(name='few', image_size=32, mean=[127.5] * 3, std=[63.75] * 3, {', '.join(splits)})"
        )
    return {count: str(path) for count, path in paths.items()}


def changed(run: Run, **values) -> Run:
    """Another run, with an id of its own."""
    return Run(**{**run.model_dump(), **values})


def outcomes(runs) -> dict:
    return {(run.task, run.spec, run.protocol): outcome for run, outcome in run_light(runs)}


def test_a_bank_of_fifteen_pictures(checkpoint, data, tmp_path, capsys):
    """Fifteen pictures have ten nearest neighbours, but not twenty and not a hundred."""
    found = outcomes(
        plan_light(
            checkpoint, data[5], ["knn"], ["smallest"], protocols=[f"knn-k{k}-T0.07/1" for k in (20, 10, 15, 100)]
        )
    )
    found = {protocol: outcome for (_, _, protocol), outcome in found.items()}
    for k in (10, 15):
        assert found[f"knn-k{k}-T0.07/1"].metrics["top5"] == 100
    for k in (20, 100):
        outcome = found[f"knn-k{k}-T0.07/1"]
        assert isinstance(outcome, InputError) and f"k is {k}, but the bank has 15 entries" in str(outcome)
    # every cause is said, and what could be measured is there
    command = ["evaluate", checkpoint, "--data", data[5], "-o", str(tmp_path), "--tasks", "knn", "--specs", "smallest"]
    assert main([*command, "--protocols", "knn-k10-T0.07/1,knn-k20-T0.07/1,knn-k100-T0.07/1"]) == 2
    said = capsys.readouterr().err
    assert "2 of 3 runs failed" in said and "k is 20, but" in said and "k is 100, but" in said
    assert [result.protocol for result in load_results(tmp_path)[0]] == ["knn-k10-T0.07/1"]


def test_one_picture_a_class_cannot_be_held_out(checkpoint, data):
    found = outcomes(plan_light(checkpoint, data[1], ["knn", "linear"], ["smallest"], protocols=["knn-k3-T0.07/1"]))
    by_task = {task: outcome for (task, _, _), outcome in found.items()}
    assert by_task["knn"].metrics["top5"] == 100
    assert isinstance(by_task["linear"], InputError)
    assert "no class of train has a second image" in str(by_task["linear"])


def test_a_number_that_is_none_is_a_sentence(checkpoint, data):
    (run,) = plan_light(checkpoint, data[5], ["linear"], ["smallest"])
    with pytest.raises(InputError, match="linear vit-w16-d3 .* what was measured is no result: metrics.top1"):
        run.result(metrics={"top1": float("nan")}, units={}, split="test", seconds=1.0)


def test_settings_and_protocols_of_one_run(checkpoint, data):
    """What a newer version has written into a chunk, say."""
    (good,) = plan_light(checkpoint, data[5], ["knn"], ["smallest"], protocols=["knn-k3-T0.07/1"])
    newer = changed(good, protocol="knn-k3-T0.07/9")
    unknown = changed(good, settings={**good.settings, "amd": "off"}, seed=5)
    found = {run.id: outcome for run, outcome in run_light([newer, unknown, good])}
    assert "unknown protocol 'knn-k3-T0.07/9'" in str(found[newer.id])
    assert "unknown settings ['amd']" in str(found[unknown.id])
    assert found[good.id].metrics


def test_sizes_that_share_a_pass_over_the_pictures(checkpoint, data, monkeypatch):
    """One needs more memory than there is, one is not of this supernet."""
    runs = plan_light(checkpoint, data[5], ["knn"], protocols=["knn-k3-T0.07/1"])
    assert len(runs) == 4
    foreign = changed(runs[0], spec="vit-w64-d4")
    monkeypatch.setattr("poa_bench.downstream.labelled_images.IN_MEMORY_BYTES", 1)

    def with_a_large_one(net, specs):
        assert len(specs) == 4, "they share the pass"
        extractors = class_features(net, specs)

        def too_large(images):
            raise torch.OutOfMemoryError("no memory for vit-w32-d5")

        return {**extractors, "vit-w32-d5": too_large}

    monkeypatch.setattr(session, "class_features", with_a_large_one)
    found = {spec: outcome for (_, spec, _), outcome in outcomes([foreign, *runs]).items()}
    assert isinstance(found.pop("vit-w32-d5"), torch.OutOfMemoryError)
    assert "vit-w64-d4 is not in this supernet's space" in str(found.pop("vit-w64-d4"))
    monkeypatch.undo()
    alone = {spec: outcome for (_, spec, _), outcome in outcomes(runs).items()}
    assert len(found) == 3
    assert all(outcome.metrics == alone[spec].metrics for spec, outcome in found.items())


def test_a_profile_beside_pictures_that_are_not_there(checkpoint, data, tmp_path):
    path = tmp_path / "gone.py"
    missing = f"dict(type='poa_bench.Images', path='{tmp_path}/train')"
    path.write_text(f"evaluation = dict(name='gone', image_size=32, train={missing}, test={missing})")
    with pytest.raises(InputError, match="train"):
        evaluate_checkpoint(checkpoint, str(path), tmp_path, tasks=["knn", "profile"], specs=["smallest"])
    assert [result.task for result in load_results(tmp_path)[0]] == ["profile"]

"""Light evaluation end to end: every size, the controls, results on disk, errors."""

import functools
import os
import subprocess
import sys
from collections import Counter

import pytest
import torch

from poa_bench.cli import main
from poa_bench.downstream import linear
from poa_bench.downstream.features import class_features, extract_features
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.knn import knn_accuracy
from poa_bench.downstream.linear import linear_probe
from poa_bench.elastic import Supernet, load_supernet
from poa_bench.errors import InputError
from poa_bench.runs.results import load_results, read_results, write_result
from poa_bench.sweep import light, run_folder
from poa_bench.sweep.light import evaluate_checkpoint, plan_light
from poa_bench.tasks import light_tasks, parse_protocol
from poa_bench.tasks.knn import KnnProtocol
from poa_bench.tasks.light import random_supernet, run_light
from poa_bench.tasks.linear import LinearProtocol
from poa_bench.tasks.profile import ProfileProtocol
from tests.downstream.networks import SPACES, tiny_supernet, write_checkpoint

DATA = """
evaluation = dict(
    name="few-digits", image_size=32, mean=[127.5] * 3, std=[63.75] * 3, batch_size=64,
    train=dict(type="poa_bench.DigitsClassification", split="train", indices=list(range(0, 2000, 8))),
    val=dict(type="poa_bench.DigitsClassification", split="val", indices=list(range(0, 400, 8))),
    test=dict(type="poa_bench.DigitsClassification", split="test", indices=list(range(0, 800, 8))),
)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Path of an evaluation config."""
    path = tmp_path_factory.mktemp("data") / "few_digits.py"
    path.write_text(DATA)
    return str(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A ViT supernet of four sizes for pictures of 32 px."""
    return str(write_checkpoint(tiny_supernet("vit"), tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth"))


@functools.cache
def features_of(checkpoint: str, data: str, spec: str):
    """Features of one size, made by its extracted network alone."""
    net = load_supernet(checkpoint)
    extractors = class_features(net, {spec: net.space.parse(spec)})
    splits = EvaluationData.load(data).resolved(None).splits
    return {name: extract_features(extractors, images)[spec] for name, images in splits.items()}


def test_every_size_has_the_numbers_it_has_alone(checkpoint, data, tmp_path):
    found = evaluate_checkpoint(checkpoint, data, tmp_path, tasks=["knn", "linear"])
    assert len(found) == len(SPACES["vit"]) * 3
    for result in found:
        splits = features_of(checkpoint, data, result.spec)
        train, val, test = ((splits[name].features, splits[name].labels) for name in ("train", "val", "test"))
        protocol = parse_protocol(result.protocol, result.task)
        if result.task == "knn":
            pair = (protocol.k, protocol.temperature)
            judged = knn_accuracy(*train, *val, [pair])[pair]
            judged = {f"val_{name}": judged[name] for name in ("top1", "balanced_top1")}
            assert result.metrics == knn_accuracy(*train, *test, [pair])[pair] | judged
        else:
            alone = linear_probe(train, val, test, protocol.regularisers)
            assert result.metrics == alone.metrics and result.facts["regulariser"] == alone.regulariser
        assert result.tensors_loaded == result.tensors_total > 20
        assert result.facts["train_images"] == 250 and result.facts["test_images"] == 100
        pictures = Counter(test[1].tolist())
        assert result.facts["classes"] == len(pictures) == 10
        assert result.facts["test_largest_class"] == max(pictures.values())
        assert result.facts["test_smallest_class"] == min(pictures.values())
        assert (result.image_size, result.split, result.dataset) == (32, "test", "few-digits")
    assert len({result.primary for result in found}) > 3


def test_one_process_gives_what_a_process_per_run_gives(checkpoint, data):
    runs = plan_light(checkpoint, data, ["knn"], ["smallest", "intact"], protocols=["knn-k10-T0.07/1"])
    together = {run.id: result for run, result in run_light(runs)}
    assert len(together) == 2
    for run in runs:
        ((_, alone),) = run_light([run])
        assert alone.metrics == together[run.id].metrics


def test_what_is_there_is_not_done_again(checkpoint, data, tmp_path, monkeypatch):
    arguments = dict(tasks=["knn"], specs=["smallest", "intact"], protocols=["knn-k5-T0.1/1"])
    first = evaluate_checkpoint(checkpoint, data, tmp_path, **arguments)
    assert len(first) == 2 and evaluate_checkpoint(checkpoint, data, tmp_path, **arguments) == []
    (tmp_path / first[0].run_id / "result.json").unlink()
    done = []
    real = light.run_light
    monkeypatch.setattr(light, "run_light", lambda runs, *rest: done.extend(runs) or real(runs, *rest))
    again = evaluate_checkpoint(checkpoint, data, tmp_path, **arguments)
    assert [run.id for run in done] == [result.run_id for result in again] == [first[0].run_id]
    assert again[0].metrics == first[0].metrics


def test_random_initialisation_is_a_fresh_network_of_the_same_space(checkpoint, data, tmp_path):
    arguments = dict(tasks=["knn"], specs=["intact"], initialisation="random", protocols=["knn-k10-T0.07/1"])
    first, second = evaluate_checkpoint(checkpoint, data, tmp_path, seeds=[0, 1], **arguments)
    assert (first.seed, second.seed) == (0, 1) and first.checkpoint is None is first.checkpoint_sha256
    assert first.initialisation == "random" and first.parameters == second.parameters > 0
    description = load_supernet(checkpoint).describe()
    nets = [random_supernet(description, seed).state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert not torch.equal(nets[0]["network.blocks.0.attn.qkv.weight"], nets[2]["network.blocks.0.attn.qkv.weight"])
    # as the model of a pre-training starts
    torch.manual_seed(0)
    fresh = Supernet.from_description(description).state_dict()
    assert all(torch.equal(nets[0][name], fresh[name]) for name in fresh)


def test_raw_pixels_are_one_row_per_protocol(checkpoint, data, tmp_path):
    found = evaluate_checkpoint(checkpoint, data, tmp_path, initialisation="pixels")
    assert [(r.task, r.spec, r.parameters, r.initialisation) for r in found] == [
        (task, None, None, "pixels") for task in ("knn", "knn", "linear")
    ]
    table = read_results(tmp_path)
    assert table[table.primary].metric.unique().tolist() == ["top1"] and table[table.primary].unit.unique() == ["%"]


def test_profile_rows(checkpoint, data, tmp_path):
    small, intact = evaluate_checkpoint(checkpoint, data, tmp_path, tasks=["profile"], specs=["smallest", "intact"])
    assert small.metrics.keys() == intact.metrics.keys() and next(iter(small.metrics)) == "latency_p50_ms_batch1"
    assert small.macs < intact.macs and small.parameters < intact.parameters
    assert intact.parameters == sum(p.numel() for p in tiny_supernet("vit").network.parameters())
    assert {"device", "dtype", "threads"} <= small.facts.keys() and small.units["latency_p50_ms_batch1"] == "ms"


def test_a_profile_needs_no_pictures(checkpoint, tmp_path):
    """A device has no ImageNet."""
    path = tmp_path / "nowhere.py"
    missing = f"dict(type='poa_bench.Images', path='{tmp_path}/train')"
    path.write_text(f"evaluation = dict(name='nowhere', image_size=32, train={missing}, test={missing})")
    choice = {"tasks": ["profile"], "specs": ["smallest"]}
    (found,) = evaluate_checkpoint(checkpoint, str(path), tmp_path, **choice)
    assert found.metrics["latency_p50_ms_batch1"] > 0
    assert evaluate_checkpoint(checkpoint, str(path), tmp_path, **choice) == []  # there already
    write_result(found.model_copy(update={"facts": {**found.facts, "device": "another one"}}), tmp_path)
    with pytest.raises(InputError, match="holds profiles measured on another one, and this is"):
        evaluate_checkpoint(checkpoint, str(path), tmp_path, **choice)


def test_validation_is_held_out_of_train_where_there_is_none(checkpoint, data, tmp_path, monkeypatch):
    path = tmp_path / "no_val.py"
    path.write_text("".join(line for line in DATA.splitlines(keepends=True) if not line.strip().startswith("val=")))
    splits = []
    real = linear.hold_out
    monkeypatch.setattr(linear, "hold_out", lambda *arguments: splits.append(real(*arguments)) or splits[-1])
    results = evaluate_checkpoint(
        checkpoint, str(path), tmp_path / "results", tasks=["linear"], specs=["intact"], seeds=[0, 1, 2, 3]
    )
    assert [result.facts["val_images"] for result in results] == [pytest.approx(25, abs=3)] * 4
    assert {result.facts["train_images"] for result in results} == {250}
    for fitted, held in splits:
        assert sorted([*fitted.tolist(), *held.tolist()]) == list(range(250))
    assert len({tuple(held.tolist()) for _, held in splits}) == 4, "the seed chooses the pictures held out"


def test_one_failure_does_not_end_the_others(checkpoint, data, tmp_path):
    good = plan_light(checkpoint, data, ["knn"], ["intact"])
    too_many = plan_light(checkpoint, data, ["knn"], ["smallest"], protocols=["knn-k5000-T0.07/1"])
    gone = [run.model_copy(update={"checkpoint": str(tmp_path / "gone.pth")}) for run in good]
    changed = [run.model_copy(update={"checkpoint_sha256": "0" * 64}) for run in good]
    for broken, message in [(too_many, "k is 5000"), (gone, "gone.pth"), (changed, "has changed since the run")]:
        outcomes = list(run_light([*broken, *good]) if broken is too_many else run_light(broken))
        assert all(
            isinstance(outcome, InputError) and message in str(outcome) for _, outcome in outcomes[: len(broken)]
        )
        assert all(outcome.metrics for _, outcome in outcomes[len(broken) :])
        assert len(outcomes) == len(broken) + (len(good) if broken is too_many else 0)


def test_command_line(checkpoint, data, tmp_path, capsys):
    command = ["evaluate", checkpoint, "--data", data, "-o", str(tmp_path), "--tasks", "knn", "--specs", "vit-w16-d3"]
    command += ["--series", "trained alone"]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.out == f"2 new results in {tmp_path}\n" and "knn vit-w16-d3 knn-k20-T0.07/1" in captured.err
    assert [result.facts["series"] for result in load_results(tmp_path)[0]] == ["trained alone"] * 2
    assert main([*command[:-1], "another name"]) == 0 and capsys.readouterr().out.startswith("0 new results")
    assert [result.facts["series"] for result in load_results(tmp_path)[0]] == ["another name"] * 2
    assert main(["profile", checkpoint, "--specs", "smallest", "--batches", "1", "--json"]) == 0
    assert '"spec": "vit-w16-d3"' in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, message",
    [
        (["--tasks", "knn,detection"], "unknown task 'detection': light evaluation knows knn, linear, "),
        (["--specs", "vit-w64-d4"], "vit-w64-d4 is not in this supernet's space"),
        (["--data", "imagenot"], "there is no data set 'imagenot'"),
        (["--protocols", "knn-k20-T0.07/2"], "unknown protocol 'knn-k20-T0.07/2'"),
        (["--protocols", "knn-k20-T0.07/1", "--tasks", "linear"], "belong to none of the tasks ['linear']"),
    ],
)
def test_bad_arguments_are_explained(checkpoint, data, tmp_path, capsys, change, message):
    assert main(["evaluate", checkpoint, "--data", data, "-o", str(tmp_path), *change]) == 2
    assert message in capsys.readouterr().err


def test_foreign_checkpoint_and_config_without_weights(data, tmp_path, capsys):
    foreign = tmp_path / "foreign.pth"
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}, "meta": {}}, foreign)
    assert main(["evaluate", str(foreign), "--data", data, "-o", str(tmp_path)]) == 2
    assert "was not written by a poa_bench pre-training" in capsys.readouterr().err
    assert main(["evaluate", "poa_vit-digits.py", "--data", data, "-o", str(tmp_path)]) == 2
    assert "is a config, which has no weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("image_size=32", "image_size=16", r"not \(3, 16, 16\)"),
        ("image_size=32", "image_size=4, resize=4", "smaller than a patch of 8 x 8"),
        ('split="train", indices=list(range(0, 2000, 8))', 'split="train", indices=[0]', "have no image in train"),
        ('name="few-digits"', 'title="few-digits"', "evaluation.title=.*EvaluationData takes no 'title'"),
        ("evaluation =", "other =", "has no entry `evaluation"),
    ],
)
def test_bad_data_is_explained(checkpoint, tmp_path, capsys, old, new, message):
    path = tmp_path / "broken.py"
    assert old in DATA
    path.write_text(DATA.replace(old, new))
    with pytest.raises(InputError, match=message):
        evaluate_checkpoint(checkpoint, str(path), tmp_path / "results", tasks=["knn"], specs=["smallest"])


def test_names_of_protocols_say_their_settings():
    for task in light_tasks().values():
        for protocol in task.defaults:
            assert parse_protocol(protocol.name) == parse_protocol(protocol.name, task.name) == protocol
            assert protocol.description.endswith(".") and len(protocol.description) > 100
    assert parse_protocol("knn-k7-T0.1/1") == KnnProtocol(7, 0.1)
    assert parse_protocol("profile-b1-b8-b64/1") == ProfileProtocol((1, 8, 64))
    assert LinearProtocol(13).regularisers[:3] == pytest.approx((1, 10**-0.5, 0.1))
    with pytest.raises(InputError, match="unknown protocol 'knn-k20-T0.07/1' of task linear: write it like linear-"):
        parse_protocol("knn-k20-T0.07/1", "linear")


def test_truncated_result_is_measured_again(checkpoint, data, tmp_path):
    choice = {"tasks": ["knn"], "protocols": ["knn-k5-T0.07/1"], "specs": ["smallest"]}
    (result,) = evaluate_checkpoint(checkpoint, data, tmp_path, "cpu", **choice)
    path = tmp_path / result.run_id / "result.json"
    path.write_text(path.read_text()[:200])
    (again,) = evaluate_checkpoint(checkpoint, data, tmp_path, "cpu", **choice)
    assert again.metrics == result.metrics and path.with_name("broken-result.json").exists()
    assert evaluate_checkpoint(checkpoint, data, tmp_path, "cpu", **choice) == []


def test_runs_that_another_evaluation_holds_are_left_to_it(checkpoint, data, tmp_path, capsys):
    choice = {"tasks": ["knn"], "protocols": ["knn-k5-T0.07/1"], "specs": ["smallest", "intact"]}
    first, second = plan_light(checkpoint, data, **choice)
    with run_folder.hold(tmp_path, first.id):
        (result,) = evaluate_checkpoint(checkpoint, data, tmp_path, "cpu", **choice)
    assert result.run_id == second.id
    assert f"1 runs are measured by process {os.getpid()}" in capsys.readouterr().err
    (result,) = evaluate_checkpoint(checkpoint, data, tmp_path, "cpu", **choice)
    assert result.run_id == first.id


def test_many_runs_need_many_open_files(tmp_path):
    """Each run's lock is an open file: as many as the machine allows, and a sentence beyond that."""
    script = """
import resource, sys
from poa_bench.errors import InputError
from poa_bench.machine import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 1000))
allow_open_files(500)
files = [open("/dev/null") for _ in range(500)]
try:
    allow_open_files(5000)
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "open files are needed, and this machine allows 1000" in done.stdout

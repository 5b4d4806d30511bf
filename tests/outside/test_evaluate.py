"""Networks from outside beside a supernet: from the command line to the report."""

import shlex

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from poa_bench.cli import main
from poa_bench.downstream.images import EvaluationData
from poa_bench.errors import InputError
from poa_bench.report.build import write_report
from poa_bench.report.cards import card_contexts, metafile
from poa_bench.report.frame import load_report_data
from poa_bench.report.missing import grouped, holes
from poa_bench.report.page import render
from poa_bench.report.pick import choose
from poa_bench.runs.results import load_results
from poa_bench.sweep.light import evaluate_checkpoint, plan_light
from poa_bench.sweep.plan import expand, make_sweep
from tests.downstream.networks import tiny_supernet, write_checkpoint
from tests.outside.networks import ARGUMENTS, CONVNEXT, REGISTERS, stock, write

DATA = """
evaluation = dict(
    name="few-digits", image_size=32, mean=[127.5] * 3, std=[63.75] * 3, batch_size=64,
    train=dict(type="poa_bench.DigitsClassification", split="train", indices=list(range(0, 800, 8))),
    val=dict(type="poa_bench.DigitsClassification", split="val", indices=list(range(0, 400, 8))),
    test=dict(type="poa_bench.DigitsClassification", split="test", indices=list(range(0, 400, 8))),
)
"""
KNN = "knn-k10-T0.07/1"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data, weights of two networks and a supernet's checkpoint, and results of all of them."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "few_digits.py").write_text(DATA)
    write_checkpoint(tiny_supernet("vit"), folder / "supernet.pth")
    data, results = str(folder / "few_digits.py"), folder / "results"
    common = dict(tasks=["knn"], protocols=[KNN])
    evaluate_checkpoint(str(folder / "supernet.pth"), data, results, specs=["smallest", "intact"], **common)
    said = {"licence": "cc-by-4.0", "training_data": "a thousand digits", "arguments": ARGUMENTS[REGISTERS]}
    weights = str(write(stock(REGISTERS), folder / "registers.safetensors"))
    outside = {"weights": weights, **said}
    evaluate_checkpoint(f"timm:{REGISTERS}", data, results, series="Registers", outside=outside, **common)
    weights = str(write(stock(CONVNEXT), folder / "convnext.safetensors"))
    outside = {"weights": weights, "arguments": ARGUMENTS[CONVNEXT]}
    evaluate_checkpoint(f"timm:{CONVNEXT}", data, results, outside=outside, **common)
    evaluate_checkpoint(f"timm:{CONVNEXT}", data, results, initialisation="random", outside=outside, **common)
    return folder


def result_of(folder, name, initialisation="pretrained"):
    results, _ = load_results(folder / "results")
    (found,) = [each for each in results if each.spec == f"timm:{name}" and each.initialisation == initialisation]
    return found


@torch.no_grad()
def features(network, images):
    inputs = torch.stack([images.dataset[place]["inputs"] for place in range(len(images))]).float()
    pooled = network.forward_head(network.forward_features((inputs - 127.5) / 63.75), pre_logits=True)
    return F.normalize(pooled, dim=1).double().numpy()


def test_knn_of_timms_own_features(made):
    """Cosine similarities, the ten nearest, votes of exp(similarity / 0.07): in a few lines of numpy."""
    splits = EvaluationData.load(made / "few_digits.py").splits
    labels = {
        name: np.array([images.dataset[i]["label"] for i in range(len(images))]) for name, images in splits.items()
    }
    for name in (REGISTERS, CONVNEXT):
        network = stock(name)
        train, test = (features(network, splits[split]) for split in ("train", "test"))
        similarity = test @ train.T
        nearest = np.argsort(-similarity, 1)[:, :10]
        votes = np.zeros((len(test), 10))
        for row, places in enumerate(nearest):
            np.add.at(votes[row], labels["train"][places], np.exp(similarity[row, places] / 0.07))
        found = result_of(made, name)
        assert found.metrics["top1"] == pytest.approx(100 * (votes.argmax(1) == labels["test"]).mean())
        assert found.tensors_loaded == found.tensors_total == len(network.state_dict()) - 2  # the classifier's
        assert found.parameters == sum(p.numel() for p in network.parameters()) - 7 * (network.head_hidden_size + 1)
        assert found.family == "timm" and found.image_size == 32
    facts = result_of(made, REGISTERS).facts
    assert (facts["licence"], facts["training_data"], facts["timm"]) == ("cc-by-4.0", "a thousand digits", REGISTERS)
    random = result_of(made, CONVNEXT, "random")
    assert random.checkpoint is None and random.metrics != result_of(made, CONVNEXT).metrics
    assert "licence" not in random.facts


def test_report_has_them_in_lines_of_their_own(made, tmp_path):
    write_report(made / "results", tmp_path, with_figures=False)
    table = pd.read_csv(tmp_path / "results_wide.csv").set_index(["series", "size"])
    column = next(name for name in table if name == "knn top1")
    for name, series in ((REGISTERS, "from outside: Registers"), (CONVNEXT, f"from outside: {CONVNEXT}")):
        assert table[column][series, f"timm:{name}"] == pytest.approx(result_of(made, name).metrics["top1"])
        assert table["params (M)"][series, f"timm:{name}"] == pytest.approx(result_of(made, name).parameters / 1e6)
    assert table[column]["random initialisation", f"timm:{CONVNEXT}"] == pytest.approx(
        result_of(made, CONVNEXT, "random").metrics["top1"]
    )
    text = (tmp_path / "report.md").read_text()
    assert "5 runs: 2 sizes cut from 1 pre-trained network beside 2 networks from outside, scored on knn top1." in text
    data = load_report_data(made / "results")
    assert data.outside == ["from outside: Registers", f"from outside: {CONVNEXT}"] == data.pretrained[1:]
    assert holes(data).empty


def test_a_missing_cell_has_the_command_that_fills_it(made, tmp_path):
    arguments = dict(tasks=["rank"], specs=["smallest"])
    evaluate_checkpoint(str(made / "supernet.pth"), str(made / "few_digits.py"), tmp_path, **arguments)
    for result in load_results(made / "results")[0]:
        if result.spec == f"timm:{REGISTERS}":
            (tmp_path / result.run_id).mkdir()
            (tmp_path / result.run_id / "result.json").write_text(result.model_dump_json())
    data = load_report_data(tmp_path)
    lines = grouped(data, holes(data), str(tmp_path)).command
    line, *_ = [command for command in lines if "timm:" in command and "--tasks rank" in command]
    before = {result.run_id for result in load_results(tmp_path)[0]}
    main(shlex.split(line)[1:])
    (new,) = [result for result in load_results(tmp_path)[0] if result.run_id not in before]
    assert (new.task, new.spec) == ("rank", f"timm:{REGISTERS}")
    assert new.facts["series"] == "from outside: Registers"
    assert new.config["architecture"] == result_of(made, REGISTERS).config["architecture"]


def test_cards_say_licence_and_training_data(made):
    data = load_report_data(made / "results")
    card = render("card.md", card_contexts(data)[next(name for name in card_contexts(data) if REGISTERS in name)])
    assert "license: cc-by-4.0" in card and "- licence: cc-by-4.0" in card
    assert "- training data: a thousand digits" in card and "of a supernet that was pre-trained" not in card
    (other,) = [text for name, text in card_contexts(data).items() if CONVNEXT in name]
    assert "- licence: not said" in render("card.md", other)
    assert [model["In Collection"] for model in metafile(data)["Models"]] == ["POA-vit"] * 2


def test_pick_knows_them(made):
    data = load_report_data(made / "results")
    cells = data.cells[data.cells.column == "knn top1"]
    found = choose(str(made / "results"), "knn", None, {"parameters": None}, (None, ""))
    assert len(found["choice"].allowed) == 4 == len(cells[cells.initialisation == "pretrained"])
    small = result_of(made, REGISTERS).parameters
    only = choose(str(made / "results"), "knn", None, {"parameters": small}, (None, ""))["choice"].allowed
    sizes = {result.spec: result.parameters for result in load_results(made / "results")[0]}
    assert set(only.spec) == {spec for spec, parameters in sizes.items() if parameters <= small}


def test_a_sweep_has_the_same_runs(made):
    entry = {"timm": CONVNEXT, "weights": str(made / "convnext.safetensors"), "arguments": ARGUMENTS[CONVNEXT]}
    data = str(made / "few_digits.py")
    task = {"task": "knn", "dataset": "few-digits", "protocols": [KNN], "settings": {"config": data, "amp": "off"}}
    every = {**task, "initialisations": ["pretrained", "random", "pixels"]}
    of_vits = {**task, "families": ["vit"], "protocols": ["knn-k5-T0.07/1"]}
    sweep = {"name": "s", "checkpoints": [str(made / "supernet.pth")], "results": "", "networks": [entry]}
    runs = expand(make_sweep({**sweep, "tasks": [every, of_vits]}))
    mine = [run for run in runs if run.spec == f"timm:{CONVNEXT}"]
    assert {run.id for run in mine} == {result_of(made, CONVNEXT, kind).run_id for kind in ("pretrained", "random")}
    assert sum(run.initialisation == "pixels" for run in runs) == 1
    (vit,) = expand(make_sweep({**sweep, "checkpoints": [], "tasks": [of_vits], "networks": [_vit_entry(made)]}))
    assert (vit.protocol, vit.spec) == ("knn-k5-T0.07/1", f"timm:{REGISTERS}")


def _vit_entry(made):
    return {"timm": f"timm:{REGISTERS}", "weights": str(made / "registers.safetensors"), "name": "R"}


def test_what_belongs_to_them_is_refused_elsewhere(made):
    with pytest.raises(InputError, match="weights belong to networks from outside"):
        plan_light(str(made / "supernet.pth"), "digits", outside={"weights": "x.pth"})

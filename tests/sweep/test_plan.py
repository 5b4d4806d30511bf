"""A sweep expands to the same runs with the same ids every time, and says what is wrong with a bad one."""

import shutil

import pytest
import torch

from poa_bench.elastic import load_supernet
from poa_bench.elastic.training_checkpoint import read_checkpoint
from poa_bench.errors import InputError
from poa_bench.runs.run import Run
from poa_bench.sweep.plan import expand, load_sweep, make_sweep
from tests.conftest import REPOSITORY
from tests.sweep.conftest import save_checkpoint

KNN = {"task": "knn", "dataset": "digits", "protocols": ["knn-k20-T0.07/1"]}


def sweep(checkpoints, *tasks, **fields):
    return make_sweep({"name": "test", "checkpoints": checkpoints, "results": "r", "tasks": list(tasks), **fields})


def test_product_of_everything(checkpoint):
    linear = {
        "task": "linear",
        "dataset": "digits",
        "protocols": ["linear-logreg-grid5-valsplit/2", "linear-logreg-grid7-valsplit/2"],
        "seeds": [0, 1, 2],
    }
    runs = expand(
        sweep([checkpoint], {**KNN, "initialisations": ["pretrained", "random", "pixels"]}, linear, seeds=[7])
    )
    assert len(runs) == (6 + 6 + 1) + 6 * 2 * 3
    assert len({run.id for run in runs}) == len(runs)
    assert {run.seed for run in runs if run.task == "knn"} == {7}
    pixels = [run for run in runs if run.initialisation == "pixels"]
    assert [(run.spec, run.checkpoint_sha256) for run in pixels] == [(None, None)]


def test_same_inputs_same_ids_wherever_the_file_lies(checkpoint, tmp_path):
    moved = shutil.copy(checkpoint, tmp_path / "elsewhere.pth")
    first, second = (expand(sweep([str(path)], KNN)) for path in (checkpoint, moved))
    assert [run.id for run in first] == [run.id for run in second]
    assert Run.model_validate_json(first[0].model_dump_json()) == first[0]
    assert Run.model_validate_json(first[0].model_dump_json()).id == first[0].id


def test_ids_follow_what_defines_a_run_and_nothing_else(checkpoint, tmp_path):
    def ids(path=checkpoint, **changes):
        return {run.id for run in expand(sweep([str(path)], {**KNN, **changes}))}

    other = save_checkpoint(tmp_path / "other.pth", seed=1)
    changed = [ids(other), ids(seeds=[1]), ids(protocols=["knn-k10-T0.07/1"]), ids(settings={"branch": "student"})]
    for some in changed:
        assert not some & ids(), "every run is another one"
    assert (
        ids(gpus=0, alone=True)
        == ids(settings={"branch": "teacher", "cfg_options": {"evaluation.workers": 1}})
        == ids()
    )


def test_a_sweep_takes_the_branch_that_the_objective_evaluates(checkpoint, tmp_path):
    """Light and trained tasks alike; controls know no branch."""
    content = read_checkpoint(checkpoint)
    content["meta"]["objective"] = {"type": "Distil", "branches": ["student"], "evaluated_branch": "student"}
    content["state_dict"] = {name: one for name, one in content["state_dict"].items() if name.startswith("student.")}
    torch.save(content, tmp_path / "student.pth")
    (tmp_path / "dense.py").write_text(DENSE)
    tasks = [
        {"task": "knn", "dataset": "digits", "initialisations": ["pretrained", "random"]},
        {"task": "detection", "settings": {"config": str(tmp_path / "dense.py")}},
    ]
    found = {}
    for path in (checkpoint, str(tmp_path / "student.pth")):
        values = {"name": "t", "checkpoints": [path], "results": str(tmp_path), "tasks": tasks}
        found[path] = {(run.task, run.initialisation): run for run in expand(make_sweep(values)) if run.spec}
    poa, student = found.values()
    assert {run.config["branch"] for (_, start), run in student.items() if start == "pretrained"} == {"student"}
    assert {run.config["branch"] for run in poa.values()} == {"teacher"}
    assert student["knn", "random"].id == poa["knn", "random"].id
    assert load_supernet(tmp_path / "student.pth").space == load_supernet(checkpoint).space
    with pytest.raises(InputError, match="holds no teacher"):
        load_supernet(tmp_path / "student.pth", "teacher")


def test_a_series_has_a_name_in_the_results_and_no_part_in_ids(checkpoint):
    task = {**KNN, "initialisations": ["pretrained", "random"]}
    plain, named = (expand(sweep([checkpoint], task, series=name)) for name in (None, "trained alone"))
    assert [run.id for run in named] == [run.id for run in plain]
    assert {run.initialisation: run.series for run in named} == {"pretrained": "trained alone", "random": None}
    measured = {"split": "test", "metrics": {"top1": 1.0}, "seconds": 1.0, "facts": {"device": "cpu"}}
    results = [run.result(**measured, tensors_loaded=1, tensors_total=1) for run in (named[0], plain[0])]
    assert [result.facts for result in results] == [{"device": "cpu", "series": "trained alone"}, {"device": "cpu"}]


def test_controls_are_shared_between_checkpoints(checkpoint, tmp_path):
    other = str(save_checkpoint(tmp_path / "other.pth", seed=1))
    runs = expand(sweep([checkpoint, other], {**KNN, "initialisations": ["pretrained", "random", "pixels"]}))
    assert len(runs) == 6 + 6 + 6 + 1
    wider = str(save_checkpoint(tmp_path / "wider.pth", widths=(32, 64)))
    runs = expand(sweep([checkpoint, wider], {**KNN, "initialisations": ["random"]}))
    assert len(runs) == 12, "random networks of another architecture are other runs"


def test_named_sizes(checkpoint):
    runs = expand(sweep([checkpoint], {**KNN, "specs": ["intact", "smallest", "middle", "vit-w32-d2"]}))
    assert [run.spec for run in runs] == ["vit-w32-d2", "vit-w48-d3", "vit-w48-d4"]


def test_a_task_for_other_families_is_left_out(checkpoint):
    assert len(expand(sweep([checkpoint], KNN, {**KNN, "task": "linear", "protocols": [], "families": ["swin"]}))) == 6


def test_neighbours_share_their_features(checkpoint):
    runs = expand(sweep([checkpoint], KNN, {**KNN, "task": "linear", "protocols": []}))
    assert [(run.spec, run.task) for run in runs[:3]] == [
        ("vit-w32-d2", "knn"), ("vit-w32-d2", "linear"), ("vit-w32-d3", "knn"),
    ]  # fmt: skip


DENSE = """
measurement = dict(task='detection', dataset='scenes', protocol='p/1', split='val', metrics={'AP': 'coco/AP'})
"""


def test_a_config_file_is_part_of_the_hash_and_not_its_path(checkpoint, tmp_path):
    def runs(text, name, **changes):
        (tmp_path / name).write_text(DENSE + text)
        dense = {"task": "detection", "specs": ["smallest"], "settings": {"config": str(tmp_path / name)}}
        return [run.id for run in expand(sweep([checkpoint], {**dense, **changes}))]

    assert runs("epochs = 1", "a.py") == runs("epochs = 1  # the same", "b.py") != runs("epochs = 2", "b.py")
    assert runs("epochs = 1", "a.py") == runs("epochs = 1", "a.py", dataset="scenes", protocols=["p/1"])
    with pytest.raises(InputError, match="dataset is 'coco', but its config measures 'scenes'"):
        runs("", "a.py", dataset="coco")


def test_runnable_configs_say_what_they_measure(checkpoint):
    dense = {"task": "detection", "specs": ["smallest"], "settings": {"config": "mask-rcnn_sfp_digits.py"}}
    (run,) = expand(sweep([checkpoint], dense))
    assert (run.dataset, run.protocol) == ("digits-scenes", "mask-rcnn-sfp-digits/4")


def test_config_file(checkpoint, tmp_path):
    (tmp_path / "base_tasks.py").write_text(
        "tasks = [dict(task='knn', dataset='digits', protocols=['knn-k10-T0.07/1'])]"
    )
    (tmp_path / "my_sweep.py").write_text("_base_ = './base_tasks.py'\nretries = 3\nslurm = dict(partition='gpu')")
    loaded = load_sweep(tmp_path / "my_sweep.py", [checkpoint], options={"seeds": [4]})
    assert (loaded.name, loaded.retries, loaded.seeds, loaded.slurm.partition) == ("my_sweep", 3, [4], "gpu")
    assert loaded.results == "results/my_sweep"
    assert len(expand(loaded)) == 6


@pytest.mark.parametrize(
    "task, reason",
    [
        ({"specs": ["vit-w40-d2"]}, r"vit-w40-d2 is not in this supernet's space.*widths \[32, 48\]"),
        ({"specs": ["huge"]}, "unknown sub-network 'huge'"),
        ({"protocols": ["knn-k20-T0.07/2"]}, "unknown protocol 'knn-k20-T0.07/2'"),
        ({"task": "detection", "protocols": []}, "'detection' names no config"),
        ({"dataset": "nothing"}, "no data set 'nothing'"),
        ({"initialisations": ["trained"]}, "tasks.0.initialisations.0.*'pretrained'"),
        ({"spec": "all"}, "tasks.0.spec: Extra inputs"),
    ],
)
def test_bad_tasks(checkpoint, task, reason):
    with pytest.raises(InputError, match=reason):
        expand(sweep([checkpoint], {**KNN, **task}))


def test_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="give --checkpoint"):
        expand(sweep([], KNN))
    with pytest.raises(InputError, match="no file"):
        expand(sweep([str(tmp_path / "absent.pth")], KNN))
    with pytest.raises(InputError, match="is a config, which has no weights"):
        expand(sweep([str(REPOSITORY / "pretrain" / "poa_vit-digits.py")], KNN))
    with pytest.raises(InputError, match="no config 'absent.py'"):
        load_sweep("absent")


@pytest.mark.parametrize("name", sorted(path.name for path in (REPOSITORY / "downstream" / "sweeps").glob("*.py")))
def test_sweeps_that_come_with_the_project_expand(name, tmp_path):
    """On a supernet with ViT-S, ViT-B and ViT-L in its space (small in everything that does not matter here)."""
    path = save_checkpoint(tmp_path / "paper.pth", widths=(384, 768, 1024), depths=(12, 24), store=False)
    runs = expand(load_sweep(name, [str(path)]))
    assert {"vit-w384-d12", "vit-w1024-d24"} <= {run.spec for run in runs}

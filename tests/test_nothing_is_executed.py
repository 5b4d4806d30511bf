"""Files from elsewhere are read, never executed: one payload for every command and option that takes a path."""

import argparse
import pickle
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from poa_bench import launch, plain_checkpoints
from poa_bench.cli import build_parser, main
from poa_bench.elastic.training_checkpoint import EXECUTE
from poa_bench.errors import InputError
from tests.pretraining.teaching import write_teacher

SIZE = "vit-w32-d3"
OUTSIDE = "evaluate timm:vit_tiny_patch16_224 --image-size 32 --data digits --tasks knn -o OUT"
# every option that may name a file or a folder, and a command that gets as far as looking at it
READS = {
    ("check-data", "config"): "check-data PAYLOAD",
    ("compare", "sides"): "compare PAYLOAD PAYLOAD",
    ("compare", "--csv"): "compare RESULTS RESULTS --csv PAYLOAD",
    ("config-path", "name"): "config-path PAYLOAD",
    ("demo", "--out"): "demo --quick --out PAYLOAD",
    ("evaluate", "checkpoint"): "evaluate PAYLOAD --data digits -o OUT",
    ("evaluate", "--data"): "evaluate GOOD --data PAYLOAD -o OUT",
    ("evaluate", "-o"): "evaluate GOOD --data digits --tasks knn --specs smallest -o PAYLOAD",
    ("evaluate", "--weights"): f"{OUTSIDE} --weights PAYLOAD",
    ("export", "checkpoint"): f"export PAYLOAD {SIZE} -o OUT.safetensors",
    ("export", "-o"): f"export GOOD {SIZE} -o PAYLOAD",
    ("extract", "checkpoint"): f"extract PAYLOAD {SIZE} --to onnx -o OUT.onnx",
    ("extract", "-o"): f"extract GOOD {SIZE} -o PAYLOAD",
    ("pick", "results"): "pick PAYLOAD --task knn",
    ("plan", "sweep"): "plan PAYLOAD",
    ("plan", "--checkpoint"): "plan sweep_digits --checkpoint PAYLOAD --results OUT",
    ("plan", "--results"): "plan sweep_digits --checkpoint GOOD --results PAYLOAD",
    ("predict-cost", "config"): "predict-cost PAYLOAD",
    ("profile", "source"): "profile PAYLOAD",
    ("report", "results"): "report PAYLOAD -o OUT",
    ("report", "-o"): "report RESULTS -o PAYLOAD",
    ("reproduce", "--out"): "reproduce seed-table --out PAYLOAD",
    ("run", "sweep"): "run PAYLOAD",
    ("run", "--checkpoint"): "run sweep_digits --checkpoint PAYLOAD --results OUT",
    ("run", "--results"): "run sweep_digits --checkpoint GOOD --results PAYLOAD",
    ("search", "checkpoint"): "search PAYLOAD --results OUT",
    ("search", "--config"): "search GOOD --config PAYLOAD --results OUT",
    ("search", "--results"): "search GOOD --results PAYLOAD",
    ("sizes", "source"): "sizes PAYLOAD",
    ("slice", "checkpoint"): "slice PAYLOAD -o OUT.pth",
    ("slice", "-o"): "slice GOOD -o PAYLOAD",
    ("slice", "--data"): "slice GOOD --order importance --data PAYLOAD -o OUT.pth",
    ("status", "sweep"): "status PAYLOAD",
    ("status", "--checkpoint"): "status sweep_digits --checkpoint PAYLOAD --results OUT",
    ("status", "--results"): "status sweep_digits --checkpoint GOOD --results PAYLOAD",
}
# words and numbers, by how they are parsed or what they name
NO_PATHS = {
    *(
        "--tasks",
        "--task",
        "--specs",
        "spec",
        "--protocols",
        "--protocol",
        "--series",
        "--seed",
        "--seeds",
        "--licence",
    ),
    *(
        "--training-data",
        "--timm-arguments",
        "--mean",
        "--std",
        "--metric",
        "--latency",
        "--title",
        "--dataset",
        "--gpu",
    ),
    *(
        "--image-size",
        "--max-params",
        "--max-macs",
        "--max-file-mb",
        "--max-latency-ms",
        "--jobs",
        "--gpus",
        "--retries",
    ),
    *("--budget", "--batches", "--widths", "--depths", "--images", "--utilisation"),
    *("--set", "--cfg-options"),  # values of a config, which is code; those that name weights are tried below
    "--launch",  # a command that is to be run
}


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def write(kind: str, folder: Path) -> Path:
    """A file that leaves `executed` behind where somebody executes it."""
    mark = folder / "executed"
    if kind == "yaml":
        path = folder / "file.yaml"
        path.write_text(f"model: !!python/object/apply:builtins.open ['{mark}', 'w']\n")
    elif kind == "pickle":
        path = folder / "file.bin"
        path.write_bytes(pickle.dumps({"state_dict": Payload(mark)}))
    else:
        path = folder / "iter_1.pth"
        torch.save({"state_dict": Payload(mark), "meta": {"poa_bench": {}}}, path)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def results(good, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert main(["evaluate", str(good), "--data", "digits", "--tasks", "knn", "--specs", SIZE, "-o", str(folder)]) == 0
    return folder


def test_every_option_is_looked_at_here():
    (subparsers,) = (one for one in build_parser()._actions if isinstance(one, argparse._SubParsersAction))
    found = set()
    for command, parser in subparsers.choices.items():
        for action in parser._actions:
            if action.nargs != 0 and not action.choices:  # neither a switch nor a choice
                found.add((command, (action.option_strings or [action.dest])[0]))
    unknown = {one for one in found if one not in READS and one[1] not in NO_PATHS}
    assert not unknown, "say in READS how a file gets there, or in NO_PATHS that it is none"
    assert not READS.keys() - found


def test_the_payloads_work(tmp_path):
    """Executed, they leave their mark: else nothing here could fail."""
    torch.load(write("torch", tmp_path), weights_only=False)
    assert (tmp_path / "executed").exists()
    other = tmp_path / "other"
    other.mkdir()
    pickle.loads(write("pickle", other).read_bytes())
    assert (other / "executed").exists()


@pytest.mark.parametrize("kind", ["torch", "yaml", pytest.param("pickle", marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", READS.values(), ids=[" ".join(key) for key in READS])
def test_no_command_executes_a_file(command, kind, good, results, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    payload = write(kind, tmp_path)
    names = {"PAYLOAD": payload, "GOOD": good, "RESULTS": results}
    words = [str(names.get(word, word.replace("OUT", str(tmp_path / "out")))) for word in command.split()]
    try:
        status = main(words)
    except SystemExit as ended:
        status = ended.code
    if " -o PAYLOAD" not in command and "--csv" not in command:  # what is to be written may be replaced
        assert status
        assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()


SMALL = ["train_dataloader.dataset.indices=32", "train_dataloader.batch_size=8"]
TRAININGS = {
    "load_from": ("poa_vit-digits.py", ["load_from=PAYLOAD"], None),
    "resume": ("poa_vit-digits.py", [], "PAYLOAD"),
    "resume auto": ("poa_vit-digits.py", [], "auto"),
    "teacher": ("distill_vit-digits.py", ["model.teacher.checkpoint=PAYLOAD"], None),
    "prototypes": ("prototypes_vit-digits.py", ["model.teacher.checkpoint=PAYLOAD"], None),
    "start": (
        "poa_vit-digits.py",
        ["default_hooks.start.type=poa_bench.StartHook", "default_hooks.start.checkpoint=PAYLOAD"],
        None,
    ),
    "config": ("PAYLOAD", [], None),
    "dense load_from": ("linear-seg_digits.py", ["load_from=PAYLOAD"], None),
    "dense resume": ("linear-seg_digits.py", [], "PAYLOAD"),
    "dense backbone": ("linear-seg_digits.py", ["model.backbone.init_cfg.checkpoint=PAYLOAD"], None),
    "dense head": (
        "linear-seg_digits.py",
        ["model.decode_head.init_cfg.type=Pretrained", "model.decode_head.init_cfg.checkpoint=PAYLOAD"],
        None,
    ),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_no_training_executes_a_file(name, good, tmp_path):
    config, options, resume = TRAININGS[name]
    payload = write("torch", tmp_path)  # iter_1.pth of the work directory
    (tmp_path / "last_checkpoint").write_text(str(payload))
    options = [one.replace("PAYLOAD", str(payload)) for one in options]
    if config.endswith("-digits.py"):
        options += SMALL
    else:
        pytest.importorskip("mmseg")
        if "backbone" not in name and config != "PAYLOAD":
            options += [f"model.backbone.spec={SIZE}", f"model.backbone.init_cfg.checkpoint={good}"]
    words = {"config": str(payload) if config == "PAYLOAD" else config, "cfg_options": options, "launcher": "none"}
    words |= {"work_dir": str(tmp_path if resume == "auto" else tmp_path / "w"), "amp": None, "auto_scale_lr": False}
    with pytest.raises(InputError):
        launch.train(Namespace(**words, resume=str(payload) if resume == "PAYLOAD" else resume))
    assert not (tmp_path / "executed").exists()


def test_no_test_executes_a_file(good, tmp_path):
    pytest.importorskip("mmseg")
    options = [f"model.backbone.spec={SIZE}", f"model.backbone.init_cfg.checkpoint={good}"]
    words = {
        "config": "linear-seg_digits.py",
        "cfg_options": options,
        "launcher": "none",
        "work_dir": str(tmp_path / "w"),
    }
    payload = write("torch", tmp_path)
    with pytest.raises(InputError, match="would have to call io.open; only if you trust"):
        launch.test(Namespace(**words, checkpoint=str(payload), tta=False))
    assert not (tmp_path / "executed").exists()


def test_who_trusts_a_file_says_so(tmp_path, monkeypatch):
    plain_checkpoints.refuse_pickles()
    payload = write("torch", tmp_path)
    with pytest.raises(InputError, match="POA_BENCH_EXECUTE_PICKLES=1 lets it run its code"):
        CheckpointLoader.load_checkpoint(str(payload))
    monkeypatch.setenv(EXECUTE, "1")
    CheckpointLoader.load_checkpoint(str(payload))
    assert (tmp_path / "executed").exists()
    with pytest.raises(InputError, match="from a file or from https"):
        CheckpointLoader.load_checkpoint("open-mmlab://resnet50")


def test_what_is_downloaded_is_read_in_the_same_way(tmp_path, monkeypatch):
    plain_checkpoints.refuse_pickles()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "plain.pth")
    payload = write("torch", tmp_path)
    served = {"https://x/plain.pth": tmp_path / "plain.pth", "https://x/iter_1.pth": payload}
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda url, to: Path(to).write_bytes(served[url].read_bytes())
    )
    found = CheckpointLoader.load_checkpoint("https://x/plain.pth")
    assert torch.equal(found["state_dict"]["a"], torch.ones(2))
    with pytest.raises(InputError, match="can be read safely"):
        CheckpointLoader.load_checkpoint("https://x/iter_1.pth")
    assert not (tmp_path / "executed").exists()

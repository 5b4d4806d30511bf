"""Mistakes of users at the real entry points: one sentence, the right status, the trace where the sentence says.

All commands of one process start are made in one process, each as its own call of the entry point.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from poa_bench import cli
from poa_bench.errors import InputError, StoppedError
from tests.conftest import REPOSITORY
from tests.pretraining.runs import TINY, environment, run

CALL_EACH = """
import contextlib, io, json, sys
sys.path[:0] = ["tools", "."]
import train
from poa_bench import cli
outcomes = []
for command, *words in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        sys.argv = [command, *words]
        status = cli.main(words) if command == "poa-bench" else train.run("train", train.parse_arguments())
    outcomes.append((status, said.getvalue()))
print("OUTCOMES" + json.dumps(outcomes))
"""
TRAIN = ("train.py", "poa_vit-digits.py", "--work-dir", "{}", "--cfg-options", *TINY)
LOADER = "train_dataloader.dataset"
PICTURES = (f"{LOADER}.type=poa_bench.Images", f"{LOADER}.split=train", f"{LOADER}.path={{}}/pictures")
MISTAKES = {
    (*TRAIN, *PICTURES, f"{LOADER}.folder=2024"): "below 2024/",
    (*TRAIN, *PICTURES, f"{LOADER}.folder=true"): "below true/",
    (*TRAIN, *PICTURES, f"{LOADER}.folder=a,b"): "below a,b/",
    (*TRAIN, "train_dataloader.batchsize=4"): "train_dataloader.batchsize=4: .* did you mean batch_size",
    (*TRAIN, "randomness.seed=abc"): "randomness.seed='abc': a seed is a whole number from 0",
    (*TRAIN, "model.backbone.patch_size=x"): "Supernet cannot be made of what the config gives it .*'patch_size': 'x'",
    (*TRAIN, "param_scheduler.0.ende=1"): "LinearLR cannot be made of .*'ende'",
    (*TRAIN, "optim_wrapper.optimizer.type=AdamV"): "type='AdamV': there is no such type; did you mean .*Adam",
    (*TRAIN, f"{LOADER}.pipeline.0.photometric.hu=1"): "photometric.hu=1: .*did you mean hue",
    ("poa-bench", "evaluate", "nowhere.pth", "--data", "digits", "-o", "{}/results"): "there is no file nowhere.pth",
    ("poa-bench", "sizes", "nowhere.pth"): "nowhere.pth",
    (
        "poa-bench",
        "predict-cost",
        "poa_vit-digits.py",
        "--cfg-options",
        "model.head.prototypes=abc",
    ): "prototypes='abc'",
    ("poa-bench", "check-data", "nowhere/poa_vit-digits.py"): "no config file nowhere/poa_vit-digits.py",
    ("poa-bench", "profile", "nowhere/poa_vit-digits.py"): "no config file nowhere/poa_vit-digits.py",
    ("poa-bench", "plan", "sweep_digits", "--set", "tasks.0.seeds=abc"): "seeds",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """(status, what was said on standard error) of each mistake."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "pictures").mkdir()
    lines = [[word.format(folder) for word in line] for line in MISTAKES]
    done = run([sys.executable, "-c", CALL_EACH], input=json.dumps(lines))
    assert "OUTCOMES" in done.stdout, done.stderr[-4000:]
    found = json.loads(done.stdout.rpartition("OUTCOMES")[2])
    return dict(zip(MISTAKES, found, strict=True))


@pytest.mark.parametrize("line", MISTAKES, ids=lambda line: f"{line[0]} {line[-1]}")
def test_a_mistake_is_one_sentence(outcomes, line):
    status, said = outcomes[line]
    sentences = [text for text in said.splitlines() if text.startswith(("error: ", "poa-bench "))]
    assert (status, len(sentences)) == (2, 1), said
    assert re.search(MISTAKES[line], sentences[0]), sentences[0]
    assert "Traceback" not in said


def guarded(monkeypatch, capsys, error, *options):
    """What `poa-bench sizes` says and returns where its function raises this."""
    from poa_bench.commands import sizes

    def broken(args):
        raise error

    monkeypatch.setattr(sizes, "run", broken)
    return cli.main(["sizes", "vit", *options]), capsys.readouterr().err


def test_the_unexpected_says_where_the_trace_is(monkeypatch, capsys):
    status, said = guarded(monkeypatch, capsys, ZeroDivisionError("by\nnothing"))
    assert status == 1 and said.count("\n") == 1 and "unexpected ZeroDivisionError: by nothing" in said
    trace = Path(re.search(r"the whole trace: (.*)\)", said)[1])
    text = trace.read_text()
    trace.unlink()
    assert "Traceback" in text and "in broken" in text and f"torch {torch.__version__.partition('+')[0]}" in text


def test_debug_shows_the_trace(monkeypatch, capsys):
    status, said = guarded(monkeypatch, capsys, ZeroDivisionError(), "--debug")
    assert status == 1 and "Traceback" in said and "the whole trace" not in said


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (InputError("a is b"), 2, "poa-bench sizes: a is b\n"),
        (StoppedError("not finite"), 1, "poa-bench sizes: not finite\n"),
        (KeyboardInterrupt(), 130, "poa-bench sizes: interrupted\n"),
        (FileNotFoundError(2, "No such file", "x"), 2, "poa-bench sizes: [Errno 2] No such file: 'x'\n"),
        (
            InputError(
                "Caught InputError in process 0.\nOriginal Traceback:\n  File\npoa_bench.errors.InputError: a picture"
            ),
            2,
            "poa-bench sizes: a picture\n",
        ),
    ],
)
def test_the_expected_is_said_alone(monkeypatch, capsys, error, status, sentence):
    assert guarded(monkeypatch, capsys, error) == (status, sentence)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ModuleNotFoundError("No module named 'mmdet'"), "No module named 'mmdet': `poa-bench doctor` says how"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "out of memory .*train in smaller batches"),
        (RuntimeError("Could not determine home directory."), "set HOME"),
        (
            UnicodeEncodeError("utf-8", "caf\udce9.jpg", 3, 4, "surrogates not allowed"),
            r"the name b'caf\\xe9.jpg' is not",
        ),
    ],
)
def test_causes_on_the_machine_are_explained(monkeypatch, capsys, tmp_path, error, sentence):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, said = guarded(monkeypatch, capsys, error)
    assert status == 2 and re.search(sentence, said) and str(tmp_path) in said


def test_a_reader_that_leaves_is_no_error():
    """`poa-bench config-path | head -1`, of a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "poa_bench.cli", "config-path"]
    done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment(), cwd=REPOSITORY)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


NOBODY = """
import pwd, runpy, sys

def nobody(number):
    raise KeyError(number)

pwd.getpwuid = nobody
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_a_container_under_a_number_trains(tmp_path):
    """It has no HOME, no name and no entry in passwd."""
    named = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "POA_BENCH_CACHE")
    without = {name: value for name, value in environment().items() if name not in named}
    line = [sys.executable, "-c", NOBODY, "tools/train.py", "poa_vit-digits.py", "--work-dir", str(tmp_path / "run")]
    options = {"env": {**without, "TMPDIR": str(tmp_path)}, "cwd": REPOSITORY, "capture_output": True, "text": True}
    done = subprocess.run([*line, "--cfg-options", *TINY, "default_hooks.checkpoint.interval=10"], **options)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / "run" / "iter_10.pth").is_file()
    assert (tmp_path / f"home-of-user-{os.getuid()}" / ".cache" / "poa_bench").is_dir()


RANKS = """
import sys
sys.path.insert(0, "tools")
import os
from poa_bench.entry import run_guarded
from poa_bench.errors import InputError

def command():
    raise InputError("all alike") if sys.argv[1] == "alike" else ZeroDivisionError(f"of process {os.environ['RANK']}")

status = run_guarded("error", command, launcher="pytorch")
print("status", status, flush=True)
"""


@pytest.mark.parametrize(
    ("kind", "status", "times"), [("alike", 2, {"all alike": 1}), ("own", 1, {"of process 0": 1, "of process 3": 1})]
)
def test_processes_that_fail_alike_say_it_once(tmp_path, kind, status, times):
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANKS, kind],
            env={**environment(), "RANK": str(rank), "MASTER_PORT": str(os.getpid()), "TMPDIR": str(tmp_path)},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(4)
    ]
    said = "".join(rank.communicate()[0] for rank in ranks)
    assert said.count(f"status {status}\n") == 4
    assert {text: said.count(text) for text in times} == times

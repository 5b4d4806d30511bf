"""SIGTERM to a command with processes of its own: what runs is saved, nothing is left behind, and it goes on later."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from poa_bench.runs.results import load_results
from tests.conftest import REPOSITORY, but_slow
from tests.downstream.networks import tiny_supernet, write_checkpoint

LONG = {
    "train_cfg.max_iters": 3000,
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset.indices": 8,
    "val_dataloader.dataset.indices": 4,
    "default_hooks.checkpoint.interval": 100_000,
    "default_hooks.logger.interval": 1,
}


def poa_bench(*words: object) -> list[str]:
    return [sys.executable, "-m", "poa_bench.cli", *map(str, words)]


def hear_interrupts() -> None:
    """A shell lets what it starts in the background ignore them, and so would everything below."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def started(line: list[str], folder: Path):
    """A process with its output in a file; its children are looked for by the folder in their command lines."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    with open(folder / "output.txt", "w") as output:
        streams = {"stdout": output, "stderr": subprocess.STDOUT, "preexec_fn": hear_interrupts}
        process = subprocess.Popen(line, cwd=REPOSITORY, env=environment, **streams)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def logged(folder: Path) -> list[int]:
    """Iterations of the trainings below a folder."""
    lines = (line for path in folder.rglob("scalars.json") for line in path.read_text().splitlines())
    return sorted(json.loads(line)["step"] for line in lines if line.endswith("}") and "loss" in line)


def processes_of(folder: Path) -> list[int]:
    """Those that have a file below the folder as working output or in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            links = [os.readlink(link) for link in (process / "fd").iterdir()]
            if str(folder) in (process / "cmdline").read_text() or any(str(folder) in link for link in links):
                found.append(int(process.name))
    return [one for one in found if one != os.getpid()]


def sweep_file(folder: Path, iterations: int) -> Path:
    options = {**LONG, "train_cfg.max_iters": iterations}
    entry = {"task": "segmentation", "specs": ["smallest"]}
    entry |= {"settings": {"config": "linear-seg_digits.py", "cfg_options": options}}
    path = folder / "sweep.py"
    path.write_text(f"tasks = {[entry]!r}\nresults = {str(folder / 'results')!r}\n")
    return path


@pytest.mark.soak
def test_a_sweep_that_is_told_to_stop_saves_its_trainings_and_goes_on(tmp_path):
    pytest.importorskip("mmseg")
    checkpoint = write_checkpoint(tiny_supernet("vit"), tmp_path / "supernet.pth")
    results = tmp_path / "results"
    line = poa_bench("run", sweep_file(tmp_path, 3000), "--checkpoint", checkpoint, "--jobs", 1)
    with started(line, tmp_path) as process:
        wait_for(lambda: len(logged(results)) > 3 or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        said = (tmp_path / "output.txt").read_text()
    assert "stopped by SIGTERM" in said and "Traceback" not in said
    wait_for(lambda: not processes_of(tmp_path), 10)
    last = logged(results)[-1]
    (saved,) = results.rglob("iter_*.pth")
    assert saved.name == f"iter_{last}.pth" and not list(results.rglob("failure-*.json"))
    (work,) = results.glob("*/work")
    # the same run, which may now end soon: its id would be another with other options, so its own folder is finished
    run = subprocess.run([sys.executable, "-c", GO_ON, str(checkpoint), str(work), str(last)], cwd=REPOSITORY)
    assert run.returncode == 0 and logged(work)[-2:] == [last + 1, last + 2]


GO_ON = f"""
import sys
from pathlib import Path
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.tasks.trained import run_trained
checkpoint, work, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
options = {{**{LONG!r}, "train_cfg.max_iters": last + 2}}
entry = dict(task="segmentation", specs=["smallest"], settings=dict(config="linear-seg_digits.py", cfg_options=options))
(run,) = expand(make_sweep(dict(name="s", checkpoints=[checkpoint], results="r", tasks=[entry])))
result = run_trained(run, work, "cpu")
assert result.facts["iterations"] == last + 2
"""


@pytest.mark.soak
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGKILL])
def test_the_demo_leaves_no_training_behind(told, tmp_path):
    with started(poa_bench("demo", "--quick", "--out", tmp_path / "demo"), tmp_path) as process:
        wait_for(lambda: logged(tmp_path / "demo") or process.poll() is not None)
        process.send_signal(told)
        assert process.wait(60) == (143 if told == signal.SIGTERM else -told)
        wait_for(lambda: not processes_of(tmp_path / "demo"), 60)
    (saved,) = (tmp_path / "demo" / "pretrain").glob("iter_*.pth")
    assert int(saved.stem.removeprefix("iter_")) >= logged(tmp_path / "demo")[-1]
    assert not load_results(tmp_path / "demo", on_broken="aside")[0]


@pytest.mark.parametrize(
    "told, status", but_slow([(signal.SIGTERM, 143), (signal.SIGINT, 130)], [(signal.SIGTERM, 143)])
)
def test_a_command_that_is_told_to_stop_says_so_in_a_line(told, status, tmp_path):
    """Also where it has no training: an evaluation."""
    checkpoint = write_checkpoint(tiny_supernet("vit"), tmp_path / "supernet.pth")
    line = poa_bench("evaluate", checkpoint, "--data", "digits", "-o", tmp_path / "results", "--tasks", "linear")
    with started(line, tmp_path) as process:
        wait_for(lambda: (tmp_path / "results").is_dir() or process.poll() is not None)
        process.send_signal(told)
        assert process.wait(60) == status
    said = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in said and ("stopped by SIGTERM" in said or "interrupted" in said)

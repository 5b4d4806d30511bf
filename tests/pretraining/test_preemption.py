"""SIGTERM while a training works, and a second training in the same folder: real processes."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from poa_bench.errors import InputError
from poa_bench.launch import only_writer, read_config
from tests.conftest import REPOSITORY
from tests.pretraining.jobs import Job
from tests.pretraining.runs import arguments, command, environment, logged

LONG = ("train_cfg.max_iters=4000", "default_hooks.checkpoint.interval=100000", "default_hooks.logger.interval=1")


def wait_for(condition, process: subprocess.Popen, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < end
        time.sleep(0.05)


def iterations(work_dir: Path) -> list[int]:
    return list(logged(work_dir, "loss"))


@pytest.mark.soak
def test_a_run_that_is_told_to_stop_saves_and_goes_on(tmp_path):
    """While it works, another one is refused; what it saved is of its last step."""
    work_dir = tmp_path / "w"
    line = command(work_dir, *LONG)
    with subprocess.Popen(line, env=environment(), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: len(iterations(work_dir)) > 3, process)
        refused = pytest.raises(InputError, match=f"in use by process {process.pid} on ")
        with refused, only_writer(read_config(arguments(work_dir))):
            pass
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 1 and "stopped by SIGTERM after iteration" in said and "Traceback" not in said
    last = max(iterations(work_dir))
    (checkpoint,) = work_dir.glob("iter_*.pth")
    assert checkpoint.name == f"iter_{last}.pth" and (work_dir / "last_checkpoint").read_text() == str(checkpoint)
    Job(work_dir, *LONG, f"train_cfg.max_iters={last + 2}", resume="auto").finish()
    assert iterations(work_dir)[-2:] == [last + 1, last + 2] and (work_dir / f"iter_{last + 2}.pth").is_file()


def test_all_processes_stop_together(tmp_path):
    """Only one of two is told."""
    job = Job(tmp_path / "w", *LONG, ranks=2)
    job.wait_for(lambda: len(iterations(tmp_path / "w")) > 3)
    job.processes[1].terminate()
    for process in job.processes:
        process.join(120)
        assert process.exitcode == 1
    said = "".join(output.read_text() for output in job.output)
    assert said.count("stopped by SIGTERM after iteration") == 1, "they fail alike: one of them says it"
    (checkpoint,) = (tmp_path / "w").glob("iter_*.pth")
    assert int(checkpoint.stem.removeprefix("iter_")) % 10 == 0

"""Training runs in processes that are forked from one that has imported everything: a start costs no imports.

The server is the standard library's; it never trains itself, so that every run begins as a fresh process would.
"""

import multiprocessing
import os
import socket
import sys
import time
from argparse import Namespace
from pathlib import Path

import torch

from poa_bench import launch
from poa_bench.entry import run_guarded
from tests.pretraining.runs import arguments

# rank, number of processes, rank on the machine: by what name the launchers tell them
LAUNCHERS = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
}
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["poa_bench.launch", "poa_bench.pretraining.objectives.poa", "poa_bench.downstream.knn_hook"]
)


class Job:
    """A training run of one or several processes, with what ``tools/train.py`` does.

    Args:
        work_dir: of the run; what its processes print is beside it.
        options: ``--cfg-options``.
        ranks: number of processes; several talk through gloo.
        resume: the value of ``--resume``.
        launcher: of several processes.
    """

    def __init__(
        self, work_dir: Path, *options: str, ranks: int = 1, resume: str | None = None, launcher: str = "pytorch"
    ):
        work_dir.mkdir(parents=True, exist_ok=True)
        self.output = [work_dir.with_name(f"{work_dir.name}-rank{rank}.txt") for rank in range(ranks)]
        line = arguments(work_dir, *options, launcher=launcher if ranks > 1 else "none")
        line.resume, line.amp, line.auto_scale_lr = resume, None, False
        common = {"CUDA_VISIBLE_DEVICES": "", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        self.processes = []
        for rank, output in enumerate(self.output):
            told = dict(zip(LAUNCHERS[launcher], map(str, (rank, ranks, rank)), strict=True))
            self.processes.append(SERVER.Process(target=_train, args=(line, common | told, output)))
        for process in self.processes:
            process.start()

    def finish(self, seconds: float = 600) -> None:
        """Wait for the end, which must be a good one."""
        for process, output in zip(self.processes, self.output, strict=True):
            process.join(seconds)
            assert process.exitcode == 0, f"status {process.exitcode}: {output.read_text()[-4000:]}"

    def kill(self, first: int = 0, pause: float = 0.0) -> None:
        """SIGKILL all processes, one of them a pause of seconds before the others.

        They must still be running: a run that has ended proves nothing.
        """
        assert all(process.is_alive() for process in self.processes), self.output[0].read_text()[-4000:]
        self.processes[first].kill()
        time.sleep(pause)
        for process in self.processes:
            process.kill()
            process.join()

    def wait_for(self, happened, seconds: float = 300) -> None:
        """Wait until a function of nothing returns something true."""
        end = time.monotonic() + seconds
        while not happened():
            running = all(process.is_alive() for process in self.processes)
            assert running and time.monotonic() < end, self.output[0].read_text()[-4000:]
            time.sleep(0.002)


def _train(line: Namespace, environment: dict[str, str], output: Path) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.exit(run_guarded("train", lambda: launch.train(line), launcher=line.launcher))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]

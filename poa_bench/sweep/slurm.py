"""Runs chunks as a job array of a SLURM cluster, through submitit.

Jobs outlive the process that submitted them: a scheduler that is started again finds its jobs in `slurm-jobs.json` and
waits for them. A job that is preempted or runs out of time is requeued by submitit, skips what it has finished and goes
on from each run's own checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import defaultdict
from pathlib import Path

from poa_bench.errors import InputError
from poa_bench.files import atomic_path
from poa_bench.sweep.local import LOG_TAIL, Ended
from poa_bench.sweep.plan import Slurm
from poa_bench.sweep.worker import Chunk, work

QUEUE_SECONDS = 10.0  # between two questions to the scheduler, which many users share


class ChunkJob:
    """What a job does: the chunk in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> None:
        # before torch is imported
        os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
        work(Chunk.model_validate_json(self.path.read_bytes()))

    def checkpoint(self):
        """Called by submitit before the job is taken away: the same chunk is submitted again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmExecutor:
    """Submits chunks as job arrays and asks the queue what has ended.

    Args:
        directory: the results folder, which all nodes must see under this path.
        name: of the jobs.
        settings: the sweep's `slurm`.

    Raises:
        InputError: submitit or the cluster's commands are missing.
    """

    def __init__(self, directory: Path, name: str, settings: Slurm, queue_seconds: float = QUEUE_SECONDS) -> None:
        _check_installed()
        self.directory = directory
        self.name = name
        self.settings = settings
        self._queue_seconds = queue_seconds
        self._asked = 0.0
        self._book = directory / "slurm-jobs.json"
        self._jobs: dict[str, Chunk] = self._adopted()

    @property
    def busy(self) -> bool:
        """Whether any job is queued or running."""
        return bool(self._jobs)

    @property
    def in_flight(self) -> list[Chunk]:
        """Chunks that are queued or running, also those that an earlier scheduler submitted."""
        return list(self._jobs.values())

    def parts(self, runs: int) -> int:
        """How many chunks to make of this many light runs."""
        return -(-runs // self.settings.runs_per_job)

    def submit(self, chunks: list[Chunk]) -> None:
        """Submit one job array for all chunks that need the same: a number of GPUs, a whole node or not.

        Light chunks have arrays of their own, which are submitted first: a cluster takes jobs of a user in this order.
        """
        from submitit.core.utils import FailedJobError

        arrays: dict[tuple[int, tuple[bool, bool]], list[Chunk]] = defaultdict(list)
        for chunk in sorted(chunks, key=lambda chunk: chunk.turn):
            gpus = chunk.gpus if self.settings.gpus is None else self.settings.gpus
            arrays[gpus, chunk.turn].append(chunk.model_copy(update={"gpus": gpus}))
        for (gpus, (_, alone)), together in arrays.items():
            executor = self._executor(gpus, alone)
            try:
                with executor.batch():
                    jobs = [executor.submit(ChunkJob(chunk.save())) for chunk in together]
            except FailedJobError as error:
                said = (str(error).strip() or "it said nothing").splitlines()[-1]
                raise InputError(
                    f"sbatch accepted no job: {said}; see the sweep's slurm settings (--set slurm.partition=...)"
                ) from error
            self._jobs |= {job.job_id: chunk for job, chunk in zip(jobs, together, strict=True)}
            self._save_book()

    def poll(self) -> list[Ended]:
        """Chunks whose job has left the queue since the last call."""
        if not self._jobs or time.monotonic() - self._asked < self._queue_seconds:
            return []
        self._asked = time.monotonic()
        queued = _queued_jobs()
        if queued is None:
            return []  # the scheduler did not answer; ask again later
        ended = {job: chunk for job, chunk in self._jobs.items() if job not in queued}
        for job in ended:
            del self._jobs[job]
        if ended:
            self._save_book()
        return [self._ended(job, chunk) for job, chunk in ended.items()]

    def stop(self) -> None:
        """Leave the jobs alone: they belong to the cluster now."""
        if self._jobs:
            print(
                f"{len(self._jobs)} SLURM jobs go on without this process: run the same command to watch them, "
                f"or scancel --name {self.name}"
            )

    def _executor(self, gpus: int, alone: bool):
        from submitit import AutoExecutor

        settings = self.settings
        executor = AutoExecutor(self.directory / "slurm", cluster="slurm", slurm_max_num_timeout=settings.requeues)
        optional = {
            "slurm_partition": settings.partition,
            "slurm_account": settings.account,
            "slurm_qos": settings.qos,
            "slurm_mem": settings.memory,
            "slurm_setup": settings.setup or None,
            "slurm_gpus_per_node": gpus or None,
            "slurm_exclusive": alone or None,
        }
        executor.update_parameters(
            name=self.name,
            timeout_min=settings.time,
            nodes=1,
            tasks_per_node=1,
            cpus_per_task=settings.cpus,
            slurm_array_parallelism=settings.max_jobs,
            **{key: value for key, value in optional.items() if value is not None},
        )
        return executor

    def _ended(self, job: str, chunk: Chunk) -> Ended:
        folder = self.directory / "slurm"
        if (folder / f"{job}_0_result.pkl").exists():  # written by submitit when the job comes to its own end
            return Ended(chunk, None, False, "")
        log = folder / f"{job}_0_log.err"
        text = log.read_text(errors="replace")[-LOG_TAIL:] if log.exists() else ""
        return Ended(chunk, "SLURM job ended before its work", True, f"{text}\njob {job}, log {log}")

    def _adopted(self) -> dict[str, Chunk]:
        book = json.loads(self._book.read_text()) if self._book.exists() else {}
        queued = (_queued_jobs() if book else None) or set()
        paths = {job: self.directory / "chunks" / f"{name}.json" for job, name in book.items() if job in queued}
        return {job: Chunk.model_validate_json(path.read_bytes()) for job, path in paths.items()}

    def _save_book(self) -> None:
        with atomic_path(self._book) as temporary:
            temporary.write_text(json.dumps({job: chunk.name for job, chunk in self._jobs.items()}))


def _queued_jobs() -> set[str] | None:
    """Ids (`12_3` for array tasks) of this user's jobs that wait or run; None if the scheduler does not answer."""
    command = ["squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format", "%i"]
    answer = subprocess.run(command, capture_output=True, text=True)
    return set(answer.stdout.split()) if answer.returncode == 0 else None


def _check_installed() -> None:
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise InputError("--executor slurm needs submitit: pip install 'poa_bench[slurm]'") from error
    if missing := [name for name in ("sbatch", "squeue") if shutil.which(name) is None]:
        raise InputError(f"--executor slurm needs {' and '.join(missing)}: run it on a login node of the cluster")

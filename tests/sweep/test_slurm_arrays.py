"""What is asked of SLURM for which chunks, without a cluster."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from poa_bench.errors import InputError
from poa_bench.sweep import slurm
from poa_bench.sweep.plan import Slurm, expand, make_sweep
from poa_bench.sweep.scheduler import Scheduler
from poa_bench.sweep.worker import Chunk

errors = pytest.importorskip("submitit.core.utils", reason="submitit is not installed")


class Executor:
    """Stands for submitit's: notes what it is given."""

    asked: list = []
    refusal: str | None = None

    def __init__(self, gpus, alone):
        self.wanted = gpus, alone

    def batch(self):
        return nullcontext()

    def submit(self, job):
        if self.refusal is not None:
            raise errors.FailedJobError(self.refusal)
        self.asked.append((self.wanted, Chunk.model_validate_json(job.path.read_bytes())))
        return SimpleNamespace(job_id=str(len(self.asked)))


@pytest.fixture
def executor(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "_check_installed", lambda: None)
    monkeypatch.setattr(slurm.SlurmExecutor, "_executor", lambda self, gpus, alone: Executor(gpus, alone))
    monkeypatch.setattr(Executor, "asked", [])
    return slurm.SlurmExecutor(tmp_path, "test", Slurm())


def test_only_chunks_that_must_be_alone_take_whole_nodes(executor, tmp_path):
    needs = [(1, False), (1, True), (0, False), (1, False)]
    chunks = [Chunk(directory=tmp_path, runs=(), gpus=gpus, alone=alone) for gpus, alone in needs]
    executor.submit(chunks)
    expected = {chunk.name: wanted for chunk, wanted in zip(chunks, needs, strict=True)}
    assert {chunk.name: wanted for wanted, chunk in executor._executor(0, False).asked} == expected
    assert len(executor.in_flight) == len(chunks)


def test_light_chunks_have_arrays_of_their_own_that_are_submitted_first(executor, checkpoint, tmp_path):
    """Also where dense runs need the same of the cluster, and come first in the file."""
    upernet = {"task": "segmentation", "settings": {"config": "upernet_digits.py"}, "seeds": [1, 0]}
    tasks = [upernet, {"task": "profile", "dataset": "digits"}, {"task": "knn", "dataset": "digits"}]
    values = {"name": "t", "checkpoints": [checkpoint], "results": str(tmp_path), "tasks": tasks}
    scheduler = Scheduler(expand(make_sweep(values)), tmp_path, executor, 0)
    executor.submit(scheduler.chunks(list(scheduler.runs.values())))
    asked = executor._executor(0, False).asked
    assert [(chunk.runs[0].task, alone) for (_, alone), chunk in asked] == [
        ("knn", False), ("profile", True), *[("segmentation", False)] * 12,
    ]  # fmt: skip
    assert [chunk.runs[0].seed for _, chunk in asked[2:]] == [0] * 6 + [1] * 6


@pytest.mark.parametrize("said", ["sbatch: error: noise\nsbatch: error: invalid partition specified: gpu", ""])
def test_a_refusal_of_sbatch_is_one_sentence(said, executor, tmp_path, monkeypatch):
    monkeypatch.setattr(Executor, "refusal", said)
    reason = said.splitlines()[-1] if said else "it said nothing"
    with pytest.raises(InputError, match=f"sbatch accepted no job: {reason}; see the sweep's slurm settings"):
        executor.submit([Chunk(directory=tmp_path, runs=(), gpus=1, alone=False)])
    assert executor.in_flight == []

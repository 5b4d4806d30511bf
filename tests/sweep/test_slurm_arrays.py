"""What is asked of SLURM for which chunks, without a cluster."""

from contextlib import nullcontext
from types import SimpleNamespace

from poa_bench.sweep import slurm
from poa_bench.sweep.plan import Slurm
from poa_bench.sweep.worker import Chunk


def test_only_chunks_that_must_be_alone_take_whole_nodes(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "_check_installed", lambda: None)
    asked = []

    class Executor:
        """Stands for submitit's."""

        def __init__(self, gpus, alone):
            self.wanted = gpus, alone

        def batch(self):
            return nullcontext()

        def submit(self, job):
            asked.append((self.wanted, Chunk.model_validate_json(job.path.read_bytes())))
            return SimpleNamespace(job_id=str(len(asked)))

    executor = slurm.SlurmExecutor(tmp_path, "test", Slurm())
    monkeypatch.setattr(executor, "_executor", Executor)
    needs = [(1, False), (1, True), (0, False), (1, False)]
    chunks = [Chunk(directory=tmp_path, runs=(), gpus=gpus, alone=alone) for gpus, alone in needs]
    executor.submit(chunks)
    assert {chunk.name: wanted for wanted, chunk in asked} == {
        chunk.name: wanted for chunk, wanted in zip(chunks, needs, strict=True)
    }
    assert len(executor.in_flight) == len(chunks)

"""What a checkpoint says that it has cost: a hand-made case of a run that goes on."""

from types import SimpleNamespace

import pytest

from poa_bench.pretraining.compute import ComputeHook


def test_a_run_that_goes_on_adds_its_hours_and_counts_all_its_pictures(monkeypatch):
    """0.5 hours were there, 1800 seconds come; 30 iterations of 8 pictures, 2e9 operations each."""
    monkeypatch.setattr(ComputeHook, "_clock", staticmethod(lambda: seconds.pop(0)))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    seconds, teacher = [100.0, 1900.0], {"flop": 5e12}
    model = SimpleNamespace(teacher_compute=lambda: teacher)
    runner = SimpleNamespace(_resume=True, model=model, train_dataloader=SimpleNamespace(batch_size=8))
    hook = ComputeHook(2e9)
    hook.after_load_checkpoint(runner, {"meta": {"compute": {"images": 80, "core_hours": 0.5, "flop": 1.6e11}}})
    hook.before_train(runner)
    checkpoint = {"meta": {"iter": 30}}
    hook.before_save_checkpoint(runner, checkpoint)
    said = checkpoint["meta"]["compute"]
    assert said == {"images": 240, "core_hours": pytest.approx(1.0), "flop": 240 * 2e9, "teacher": teacher}

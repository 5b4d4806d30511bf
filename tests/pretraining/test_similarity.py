"""Distillation by similarities to a queue: losses, gradients and queue of the official code (SEED)."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from poa_bench.errors import InputError
from poa_bench.pretraining.similarity import FeatureQueue, QueueSimilarity
from tests.downstream.processes import in_two_processes
from tests.pretraining.teaching import numbers, of


@pytest.mark.parametrize("temperature", ["0.0001", "0.01", "0.07"])
def test_seed_losses_gradients_and_queue_are_the_official_ones(temperature):
    """1e-4 of the target is as far as float32 goes at the lowest temperature, says the file."""
    found = numbers("seed_distill")
    head = QueueSimilarity(24, of(24), entries=16, teacher_temperature=float(temperature))
    queue = head.queues["global"]
    queue.entries.copy_(found["queue0"].T)
    loose = 1e-3 if temperature == "0.0001" else 1e-4
    for step in range(3):
        raw = found["student_raw"][step].float().requires_grad_()
        rows, target = F.normalize(raw, dim=1), {"global": F.normalize(found["teacher_raw"][step].float(), dim=1)}
        expected = {
            key: found[f"tt{temperature}/step{step}/{key}"] for key in ("student_logits", "loss", "grad_student_raw")
        }
        torch.testing.assert_close(
            queue.logits(rows, target["global"]).double() / 0.2, expected["student_logits"], rtol=1e-5, atol=1e-5
        )
        loss = head.compare({"global": rows}, target)["global"]
        head.remember(target)  # before backward, as a step does
        loss.backward()
        assert loss.item() == pytest.approx(expected["loss"].item(), rel=loose)
        torch.testing.assert_close(raw.grad.double(), expected["grad_student_raw"], rtol=loose, atol=loose * 0.1)
        torch.testing.assert_close(queue.entries.double(), found[f"queue_after_step{step}"].T, rtol=1e-5, atol=1e-6)
        assert queue.position == found[f"queue_ptr_after_step{step}"].item()


def test_seed_with_local_crops_is_the_official_variant_with_small_patches():
    found = numbers("seed_distill")
    head = QueueSimilarity(24, of(24), entries=16, teacher_temperature=0.07, local=True)
    for name, official in {"global": "queue0", "local": "small_queue0"}.items():
        head.queues[name].entries.copy_(found[official].T)
    for step in range(3):
        raw = {
            "global": found["student_raw"][step].float().requires_grad_(),
            "local": found["small_student_raw"][step].float().requires_grad_(),
        }
        target = {"global": found["teacher_raw"][step], "local": found["small_teacher_raw"][step]}
        rows = [
            {
                "global": F.normalize(one["global"].float(), dim=1),
                "local": F.normalize(one["local"].float(), dim=2).transpose(0, 1).flatten(0, 1),
            }
            for one in (raw, target)
        ]
        terms = head.compare(*rows)
        for name, official in {"global": "loss_large", "local": "loss_small"}.items():
            assert terms[name].item() == pytest.approx(found[f"multicrop/step{step}/{official}"].item(), rel=1e-5)
        sum(terms.values()).backward()
        for name, official in {"global": "grad_student_raw", "local": "grad_small_student_raw"}.items():
            torch.testing.assert_close(
                raw[name].grad.double(), found[f"multicrop/step{step}/{official}"], rtol=1e-4, atol=1e-6
            )
        # there a batch is of pictures, here of two crops of each: the first half of the local rows is pushed
        head.queues["global"].push(rows[1]["global"])
        head.queues["local"].push(rows[1]["local"][:8])
        after = found[f"multicrop/step{step}/small_queue_after"].T
        torch.testing.assert_close(head.queues["local"].entries.double(), after, rtol=1e-5, atol=1e-6)


def test_all_global_crops_and_the_first_local_one_of_each_picture_are_pushed():
    head = QueueSimilarity(8, of(4), entries=6, local=True)
    target = {"global": torch.randn(4, 4), "local": torch.randn(6, 4)}  # 2 pictures, 3 local crops
    head.remember(target)
    assert torch.equal(head.queues["global"].entries[:4], target["global"])
    assert torch.equal(head.queues["local"].entries[:2], target["local"][:2]) and head.queues["local"].position == 2


def test_queue_wraps_around_and_refuses_more_than_it_holds():
    queue = FeatureQueue(5, 2)
    rows = torch.arange(12.0).view(6, 2)
    queue.push(rows[:3])
    queue.push(rows[3:])
    assert queue.entries.tolist() == [[10, 11], [2, 3], [4, 5], [6, 7], [8, 9]] and queue.position == 1
    with pytest.raises(InputError, match="entries is 5, fewer than the 6 features"):
        queue.push(rows)


def push_what_is_of_the_rank() -> list[torch.Tensor]:
    queue = FeatureQueue(6, 1)
    queue.entries.zero_()
    queue.push(torch.tensor([[1.0], [2.0]]) + 10 * dist.get_rank())
    return [queue.entries[:, 0], queue.position]


def test_queue_of_several_processes_holds_the_rows_of_all(tmp_path):
    for entries, position in in_two_processes(push_what_is_of_the_rank, tmp_path):
        assert entries.tolist() == [1, 2, 11, 12, 0, 0] and position == 4


def test_intact_student_as_target_of_the_drawn_one():
    head = QueueSimilarity(8, of(4), entries=7)
    rows, own, intact = (F.normalize(torch.randn(3, 4), dim=1) for _ in range(3))
    found = head.compare({"global": rows}, {"global": own}, {"global": intact})["global"]
    ways = [torch.cat([own[i : i + 1], head.queues["global"].entries]) for i in range(3)]
    expected = -sum(
        ((way @ intact[i] / 0.2).softmax(0) * (way @ rows[i] / 0.2).log_softmax(0)).sum() for i, way in enumerate(ways)
    )
    assert found.item() == pytest.approx(expected.item() / 3, rel=1e-5)

"""Several processes with a share of the batch each take the steps of one process with the whole batch."""

import pytest
import torch

from poa_bench.elastic import load_supernet
from tests.conftest import but_slow
from tests.pretraining.jobs import Job
from tests.pretraining.runs import MIM, TINY, command, logged, run, train_here, weights
from tests.pretraining.steps import assert_same_steps, one_process, share

CENTERING = "model.targets.type=poa_bench.CenteredTargets"


@pytest.mark.parametrize(("ranks", "launcher"), but_slow([(2, "slurm"), (4, "pytorch")], [(4, "pytorch")]))
def test_sinkhorn_over_all_ranks(single, tmp_path, ranks, launcher):
    Job(tmp_path / "many", *share(ranks), ranks=ranks, launcher=launcher).finish()
    assert_same_steps(tmp_path / "many", single)


@pytest.mark.slow
def test_compiled_blocks_in_two_processes(single, tmp_path):
    """Fused operations round in another way."""
    Job(tmp_path / "many", *share(2), "model.compile_blocks=True", ranks=2).finish()
    assert_same_steps(tmp_path / "many", single, tolerance=1e-4)


def test_centering_over_all_ranks(tmp_path):
    expected = one_process(tmp_path / "one", CENTERING)
    centers = {name: value for name, value in weights(expected / "iter_3.pth").items() if "center_" in name}
    assert len(centers) == 4 and all(center.abs().max() > 1e-4 for center in centers.values())
    for ranks in (2,):
        Job(tmp_path / str(ranks), *share(ranks), CENTERING, ranks=ranks).finish()
        assert_same_steps(tmp_path / str(ranks), expected)


@pytest.mark.slow
def test_torchrun_with_sharded_moments_and_activation_checkpointing(single, tmp_path):
    """ZeRO-1 divides the moments among the processes; recomputed blocks change nothing either."""
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29602")
    options = ("optim_wrapper.optimizer.type=poa_bench.ShardedAdamW", "model.checkpoint_activations=True")
    done = run(command(tmp_path, *share(2), *options, extra=("--launcher", "pytorch"), launch=launcher))
    assert done.returncode == 0, done.stderr
    assert_same_steps(tmp_path, single)


def test_mim_starts_two_processes(single, tmp_path):
    line = [MIM, "train", "poa_bench", "poa_vit-digits.py", "--launcher", "pytorch", "--gpus", "2"]
    done = run([*line, "--work-dir", str(tmp_path), "--cfg-options", *TINY, *share(2)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same_steps(tmp_path, single)


@pytest.mark.parametrize("variant", but_slow(["v1", "v2"], ["v2"]))
def test_variants_whose_steps_leave_parameters_untouched(tmp_path, variant):
    """The elastic student's slice is all that gets gradients; the wrapper is told so, as in the ablations' configs."""
    options = (f"model.variant={variant}", "model_wrapper_cfg.find_unused_parameters=True")
    expected = one_process(tmp_path / "one", *options)
    Job(tmp_path / "many", *share(2), *options, ranks=2).finish()
    origin = "_by_elastic_teacher" if variant == "v1" else ""
    terms = ("loss", f"elastic_global{origin}", f"elastic_local{origin}", "grad_norm")
    assert_same_steps(tmp_path / "many", expected, terms=terms)


def test_a_size_for_each_rank(tmp_path):
    """The official code's way. The intact students' first step is that of one process, the elastic ones' is not."""
    Job(tmp_path / "many", *share(2), "default_hooks.subnet.mode=rank", "randomness.seed=1", ranks=2).finish()
    space = load_supernet(tmp_path / "many" / "iter_1.pth").space
    assert space.draw(1, 0, 0, "rank") != space.draw(1, 0, 1, "rank")
    alone = one_process(tmp_path / "one", "randomness.seed=1", "train_cfg.max_iters=1")
    ours, theirs = (logged(path, "intact_global", "elastic_global")[1] for path in (tmp_path / "many", alone))
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours[1] != pytest.approx(theirs[1], rel=1e-5)


def test_accumulated_steps_equal_the_step_of_the_whole_batch(tmp_path):
    """With everything off that looks at a whole batch or at the iteration, and one size."""
    options = (
        "model.loss_weights.koleo=0",
        "model.backbone.drop_path_rate=0",
        "model.backbone.space.widths=[32]",
        "model.backbone.space.depths=[2]",
        "model.targets.type=poa_bench.SinkhornTargets",
        "model.targets.iterations=0",
        "train_dataloader.collate_fn.mask_probability=0",
        "default_hooks.patch_weight.begin=99",
        "default_hooks.teacher_momentum.start=0.9",
        "default_hooks.teacher_momentum.end=0.9",
        "default_hooks.teacher_temperature.start=0.05",
        "default_hooks.teacher_temperature.end=0.05",
        "param_scheduler=None",
    )
    train_here(tmp_path / "whole", *options, "train_dataloader.batch_size=16", "train_cfg.max_iters=3")
    parts = ("train_dataloader.batch_size=8", "train_cfg.max_iters=6", "optim_wrapper.accumulative_counts=2")
    train_here(tmp_path / "parts", *options, *parts)
    whole, parts = weights(tmp_path / "whole" / "iter_3.pth"), weights(tmp_path / "parts" / "iter_6.pth")
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-5, atol=1e-5, msg=name)

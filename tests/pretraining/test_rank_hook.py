"""What is logged while training is what the task measures on the checkpoint of the same iteration."""

import pytest

from poa_bench.errors import InputError
from poa_bench.sweep.light import evaluate_checkpoint
from tests.pretraining.runs import logged, train_here

SIZES = ["vit-w32-d2", "vit-w48-d3"]
HOOK = [
    "default_hooks.rank.type=poa_bench.RankHook",
    "default_hooks.rank.data=digits",
    "default_hooks.rank.images=300",
    "default_hooks.rank.lidar_images=40",
    "default_hooks.rank.lidar_views=3",
    "default_hooks.rank.interval=0.5",  # epochs of 8 iterations
]


def test_the_logged_numbers_are_the_tasks(tmp_path):
    train_here(tmp_path, "train_cfg.max_iters=6", "default_hooks.checkpoint.interval=6", *HOOK)
    names = [f"{name}/{size}" for name in ("rankme_share", "alpha_req", "lidar_share") for size in SIZES]
    of_spectrum = [name for name in names if name != "alpha_req/vit-w32-d2"]  # 32 features are too few for its window
    found = logged(tmp_path, *[name for name in of_spectrum if not name.startswith("alpha_req")])
    assert list(found) == [4, 6], "after half an epoch, and at the end"
    assert found[4] != found[6]
    protocols = ["rank-n300/1", "rank-lidar-n40-q3/1"]
    results = evaluate_checkpoint(
        str(tmp_path / "iter_6.pth"), "digits", tmp_path / "results", tasks=["rank"], specs=SIZES, protocols=protocols
    )
    measured = {(metric, result.spec): value for result in results for metric, value in result.metrics.items()}
    expected = [measured[tuple(name.split("/"))] for name in of_spectrum if not name.startswith("alpha_req")]
    assert list(found[6]) == pytest.approx(expected, rel=1e-4) and min(expected) > 1


def test_sizes_that_are_not_there_end_the_run_before_it_begins(tmp_path):
    with pytest.raises(InputError, match="vit-w40-d2"):
        train_here(tmp_path, *HOOK, "default_hooks.rank.sizes=[vit-w40-d2]")

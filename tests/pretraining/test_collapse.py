"""The collapse check tells healthy features from collapsed ones."""

import pytest
import torch

from poa_bench.config_files import find_config
from poa_bench.errors import InputError
from poa_bench.launch import build_runner, read_config
from poa_bench.pretraining.collapse import CollapseHook, effective_rank, feature_spread, target_entropies
from tests.conftest import but_slow
from tests.pretraining.runs import arguments
from tests.pretraining.test_learning import SHORT, SPACES


def test_spread_of_random_and_of_equal_features():
    random = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    assert feature_spread(random).item() == pytest.approx(1, abs=0.01)
    assert feature_spread(torch.ones(8, 16)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("directions", [1, 2, 5])
def test_rank_counts_directions(directions):
    """Orthogonal directions of equal strength, each in both senses."""
    axes = torch.eye(8)[:directions]
    assert effective_rank(torch.cat([axes, -axes])).item() == pytest.approx(directions, rel=1e-4)


def test_entropies_of_the_extremes():
    same = torch.zeros(6, 4)
    same[:, 0] = 1
    assert [value.item() for value in target_entropies(same)] == [0, 0]
    flat = torch.full((6, 4), 0.25)
    assert [value.item() for value in target_entropies(flat)] == pytest.approx([1, 1])
    spread = torch.eye(4)
    assert [value.item() for value in target_entropies(spread)] == pytest.approx([1, 0])


def test_warnings_are_sentences_with_value_and_limit():
    hook = CollapseHook()
    healthy = {"feature_spread": 0.9, "feature_rank": 30, "target_diversity": 0.8, "target_flatness": 0.5}
    assert hook.warnings(healthy) == []
    (sentence,) = hook.warnings({**healthy, "target_flatness": 0.999})
    assert "prefer no prototype: target_flatness is 0.999, healthy is at most 0.99" in sentence
    assert (
        len(hook.warnings({"feature_spread": 0, "feature_rank": 1, "target_diversity": 0, "target_flatness": 0})) == 3
    )


UNBALANCED = [  # nothing spreads the targets or the features, and the teacher is the student
    "model.targets.iterations=0",
    "model.loss_weights.koleo=0",
    "default_hooks.teacher_momentum.start=0",
    "default_hooks.teacher_momentum.end=0",
]


@pytest.mark.parametrize("options, warned", but_slow([([], False), (UNBALANCED, True)], [(UNBALANCED, True)]))
def test_a_run_that_collapses_is_reported_and_a_healthy_one_is_not(options, warned, tmp_path):
    """The digits' own recipe, with and without what keeps it from collapsing; the hook's default limits."""
    chosen = arguments(tmp_path, config=find_config("poa_vit-digits.py"))
    chosen.cfg_options = [*SHORT, "train_cfg.max_iters=30", *options]
    config = read_config(chosen)
    config.model.backbone.space.update(SPACES["vit"])
    runner = build_runner(config)
    runner.register_hook(CollapseHook(interval=30, begin=0))
    runner.train()
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert ("collapse? nearly all images choose the same prototypes" in log) == warned
    assert ("collapse?" in log) == warned


def test_interval_must_be_positive():
    with pytest.raises(InputError, match="at least 1 iteration"):
        CollapseHook(interval=0)

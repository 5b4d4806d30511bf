"""What the contract of an objective promises to hooks, and what it refuses."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet
from poa_bench.errors import InputError
from poa_bench.pretraining.hooks import SubnetHook
from poa_bench.pretraining.objective import Branch, Crops, Objective, StepSettings
from poa_bench.pretraining.schedules import FreezeLastLayerHook, ScheduleHook

SPACE = SearchSpace("vit", widths=(16, 32), depths=((2, 3),), head_dim=16, s_w=1.0, s_d=1.0)


@dataclass(frozen=True)
class Settings(StepSettings):
    sharpness: float = 1.0


class Sandwich(Objective):
    """The mean feature of the smallest, the intact and two drawn sizes."""

    drawn = 2
    Settings = Settings

    def __init__(self, name: str = "loss"):
        super().__init__()
        self.name = name
        self.student = Branch(Supernet(SPACE, image_size=32, patch_size=8), nn.Identity())

    def loss(self, crops, settings):
        sizes = (SPACE.smallest, None, *self.drawn_sizes(settings))
        means = [self.supernet(crops.global_crops, size).cls.mean() for size in sizes]
        return {self.name: settings.sharpness * torch.stack(means).mean()}


class Hub(dict):
    update_scalar = dict.__setitem__


def runner(model: Objective, iteration: int = 0) -> SimpleNamespace:
    """What hooks ask a Runner."""
    return SimpleNamespace(
        model=model, seed=3, iter=iteration, message_hub=Hub(), train_dataloader=[0] * 10, max_iters=100
    )


def batch() -> dict:
    return {"global_crops": torch.randn(4, 3, 32, 32), "local_crops": torch.empty(0), "masks": torch.empty(0)}


def test_several_sizes_are_drawn_and_the_first_is_that_of_one():
    model, drawn = Sandwich(), []
    for iteration in range(200):
        asked = runner(model, iteration)
        SubnetHook().before_train_iter(asked, 0)
        first, second = model.settings.sizes
        assert first == SPACE.draw(3, iteration)
        assert asked.message_hub["train/elastic_width"] == (first.width + second.width) / 2
        drawn.append((first, second))
    assert len(set(drawn)) == len(SPACE) ** 2, "they are independent"


def test_a_sampler_of_another_kind_is_a_subclass():
    class Smallest(SubnetHook):
        def draw(self, runner, space, count):
            return (space.smallest,) * count

    model = Sandwich()
    Smallest().before_train_iter(runner(model), 0)
    assert model.settings.sizes == (SubnetSpec.parse("vit-w16-d2"),) * 2


def test_hooks_decide_what_the_step_is_given():
    model = Sandwich()
    asked = runner(model, 50)
    SubnetHook().before_train_iter(asked, 0)
    plain, inputs = model.settings, batch()
    hook = ScheduleHook("sharpness", 0.0, 4.0)
    hook.before_train(asked)
    hook.before_train_iter(asked, 0)
    assert model.settings == Settings(plain.sizes, sharpness=2.0) and plain.sharpness == 1.0
    model.eval()
    with torch.no_grad():
        four = [
            model.supernet(inputs["global_crops"], size).cls.mean() for size in (SPACE.smallest, None, *plain.sizes)
        ]
    assert model(inputs, mode="loss")["loss"].item() == pytest.approx(2 * sum(four).item() / 4)
    expected = 2 * model.loss(Crops(**inputs), plain)["loss"].item()
    assert model(inputs, mode="loss")["loss"].item() == pytest.approx(expected)


def test_what_does_not_fit_is_refused():
    model = Sandwich(name="loss_of_all")
    with pytest.raises(InputError, match="Sandwich needs 2 drawn sizes in each step, found 0"):
        model(batch(), mode="loss")
    model.decide(sizes=(SPACE.smallest, SPACE.intact))
    with pytest.raises(InputError, match=r"Sandwich returns \['loss_of_all'\]: one value is the 'loss'"):
        model(batch(), mode="loss")
    with pytest.raises(InputError, match="mode 'predict' is unknown"):
        model(batch(), mode="predict")
    with pytest.raises(InputError, match="Sandwich has no setting 'teacher_momentum' to schedule: it has sharpness"):
        ScheduleHook("teacher_momentum", 0, 1).before_train(runner(model))
    with pytest.raises(InputError, match="no parameter of the student begins with 'head.last_layer'"):
        FreezeLastLayerHook().before_train(runner(model))

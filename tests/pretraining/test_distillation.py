"""Objectives with a frozen teacher: totals, gradients, what stays as it is, and the official step of POA."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torchvision.transforms.v2.functional import normalize

from poa_bench.elastic import SearchSpace
from poa_bench.errors import InputError
from poa_bench.launch import build_runner, read_config
from poa_bench.pretraining.objectives.distill import Distill
from poa_bench.pretraining.objectives.distill_prototypes import DistillPrototypes
from tests.pretraining.teaching import BACKBONE, GREY, rebuilt, write_teacher
from tests.pretraining.tiny import SPACE, golden_crops, golden_poa, golden_specs, random_crops

DISTILLATION = "distill_vit-digits.py"
SHORT = (
    "train_dataloader.dataset.indices=64",
    "train_dataloader.batch_size=8",
    "model.backbone.space.widths=[32,48]",
    "model.backbone.space.depths=[2,3]",
    "train_cfg.max_iters=4",
    "default_hooks.checkpoint.interval=2",
    "param_scheduler.0.end=0.25",
    "param_scheduler.1.begin=0.25",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher"))


def distill(checkpoint: Path, head: str = "FeatureMatching", **settings) -> Distill:
    own = {"type": f"poa_bench.{head}", **({"entries": 64} if head == "QueueSimilarity" else {})}
    torch.manual_seed(1)
    teacher = {"checkpoint": str(checkpoint)}
    return Distill(**{"backbone": BACKBONE, "teacher": teacher, "head": own, **settings}).train()


@pytest.mark.parametrize("head", ["FeatureMatching", "QueueSimilarity"])
def test_total_is_the_weighted_sum_of_its_terms_and_reaches_every_parameter(checkpoint, head):
    model = distill(checkpoint, head, lambda_intact=0.7, same_view=0.5)
    model.decide(sizes=(model.supernet.space.smallest,))
    values = model.loss(random_crops(), model.settings)
    kinds = ("cls", "tokens", "masked") if head == "FeatureMatching" else ("global",)
    shares = {"intact": 0.7, "elastic": 0.3, "elastic_same": 0.15}
    expected = sum(share * values[f"{name}_{kind}"] for name, share in shares.items() for kind in kinds)
    assert values["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    values["loss"].backward()
    # several processes wait for every gradient
    assert all(one.grad is not None for one in model.student.parameters() if one.requires_grad)
    assert model.supernet.mask_token.requires_grad == (head == "FeatureMatching")
    assert all(one.grad is None for one in model.teacher.parameters()) and not model.teacher.network.training


def test_one_size_alone(checkpoint):
    space = {**SPACE, "widths": [48], "depths": [3]}
    model = distill(checkpoint, backbone={**BACKBONE, "space": space}, students="intact")
    assert model.drawn == 0 and len(model.supernet.space) == 1
    values = model.loss(random_crops(), model.settings)
    assert {name.split("_")[0] for name in values} == {"loss", "intact"} and model.passes()[0].name == "intact student"


def test_a_teacher_with_another_normalisation_sees_its_own(checkpoint):
    plain = {"type": "poa_bench.MultiCropPreprocessor", "mean": [100.0] * 3, "std": [50.0] * 3}
    model = distill(checkpoint, data_preprocessor=plain)
    pictures = 255 * torch.rand(2, 3, 32, 32)
    expected = rebuilt(checkpoint).backbone(normalize(pictures, list(GREY.mean), list(GREY.std))).cls
    torch.testing.assert_close(model.teacher(normalize(pictures, [100.0] * 3, [50.0] * 3)).cls, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lambda_intact": 1.0}, "must lie between 0 and 1"),
        ({"same_view": -0.1}, "must not be below 0"),
        ({"students": "two"}, "use one of pair, intact, single-path, sandwich"),
        ({"from_teacher": 0.0}, "nobody may be without"),
        ({"students": "single-path", "same_view": 1.0}, "one student alone"),
        ({"teacher": {"chekpoint": "x"}}, "model.teacher.chekpoint"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(checkpoint, settings, message):
    with pytest.raises(InputError, match=message):
        distill(checkpoint, **settings)


def test_what_is_frozen_is_in_no_state_nor_in_that_of_an_average(checkpoint, tmp_path):
    """mmengine's EMAHook saves a copy of the whole model beside it, and loads it strictly when the run goes on."""

    def run(name: str, **resume):
        options = [*SHORT, f"model.teacher.checkpoint={checkpoint}"]
        where = Namespace(config=DISTILLATION, work_dir=str(tmp_path / name), cfg_options=options, launcher="none")
        config = read_config(where)
        config.update(experiment_name=name, custom_hooks=[{"type": "EMAHook", "momentum": 0.5}], **resume)
        runner = build_runner(config)
        runner.train()
        return runner

    runner = run("straight")
    run("resumed", resume=True, load_from=str(tmp_path / "straight" / "iter_2.pth"))
    straight, resumed = (
        torch.load(tmp_path / name / "iter_4.pth", weights_only=False) for name in ("straight", "resumed")
    )
    for kind in ("state_dict", "ema_state_dict"):
        assert straight[kind].keys() == resumed[kind].keys() and not [
            name for name in straight[kind] if "teacher" in name
        ]
        assert all(torch.equal(straight[kind][name], resumed[kind][name]) for name in straight[kind])
    name = "student.backbone.network.cls_token"
    assert not torch.equal(straight["state_dict"][name], straight["ema_state_dict"][f"module.{name}"])
    for part, tensor in rebuilt(checkpoint).backbone.network.state_dict().items():
        assert torch.equal(runner.model.teacher.network.state_dict()[part], tensor)


def prototypes_of(path: Path, **settings) -> DistillPrototypes:
    teacher, head = {"checkpoint": str(path)}, {"type": "poa_bench.ProjectionHead", "hidden_features": 96}
    return DistillPrototypes(**{"backbone": BACKBONE, "teacher": teacher, "head": head, **settings}).train()


def test_prototypes_of_a_frozen_teacher_give_the_official_step(tmp_path):
    """Within one step POA's teacher is frozen too: with its weights the numbers are POA's, which are official."""
    poa = golden_poa()
    meta = {"poa_bench": poa.supernet.describe(), "objective": poa.describe()}
    torch.save({"meta": meta, "state_dict": poa.state_dict()}, tmp_path / "poa.pth")
    backbone = {**BACKBONE, "init_values": 1e-5}
    model = prototypes_of(tmp_path / "poa.pth", backbone=backbone)
    model.student.load_state_dict(poa.student.state_dict())
    size = next(iter(golden_specs().values()))
    found, expected = [], []
    for one, values in ((model, found), (poa, expected)):
        one.decide(sizes=(size,))
        values.append(one.loss(golden_crops(), one.settings))
        values[0]["loss"].backward()
        values.append({name: parameter.grad for name, parameter in one.student.named_parameters()})
    torch.testing.assert_close(found, expected)
    before = {name: tensor.clone() for name, tensor in model.teacher.state_dict().items()}
    model.after_update()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.teacher.state_dict().items())
    assert model.frozen_tensors().keys() == {f"teacher.{name}" for name in before}
    assert model.evaluated_network is model.supernet and model.describe()["teacher"] == "vit-w64-d6"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "v2"}, "with a frozen teacher it is 'poa' or 'intact'"),
        ({"teacher": {"checkpoint": None}}, "names no network"),
        ({"backbone": {**BACKBONE, "patch_size": 16}}, r"\(4, 4\) patches where the student has \(2, 2\)"),
        (
            {"data_preprocessor": {"type": "poa_bench.MultiCropPreprocessor", "mean": [1.0] * 3, "std": [63.75] * 3}},
            "another normalisation: now mean",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(checkpoint, settings, message):
    with pytest.raises(InputError, match=message):
        prototypes_of(checkpoint, **settings)


def test_space_of_one_size_is_a_student_of_the_large_one(checkpoint):
    """Its prototypes and bottleneck are the teacher's, whatever its width."""
    space = {**SPACE, "widths": [32], "depths": [3]}
    model = prototypes_of(checkpoint, backbone={**BACKBONE, "space": space}, variant="intact")
    assert [one.shape for one in model.student.head.prototypes()] == [(16, 12), (24, 12)]
    assert SearchSpace.from_dict(space).intact == model.supernet.space.intact
    model.loss(random_crops(), model.settings)["loss"].backward()

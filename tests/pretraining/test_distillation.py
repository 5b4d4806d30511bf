"""Frozen teachers and what is learned from them, against the official code's numbers, timm and torchvision."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import normalize, resize

from poa_bench.elastic import SearchSpace, Supernet
from poa_bench.elastic.checkpoint import save_subnet
from poa_bench.elastic.family import Output
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.errors import InputError
from poa_bench.pretraining.heads import ProjectionHead
from poa_bench.pretraining.matching import FeatureMatching
from poa_bench.pretraining.objective import Branch, Crops
from poa_bench.pretraining.objectives.distill import Distill
from poa_bench.pretraining.objectives.distill_prototypes import DistillPrototypes
from poa_bench.pretraining.similarity import FeatureQueue, QueueSimilarity
from poa_bench.pretraining.teachers import FrozenTeacher, load_head, load_teacher
from tests.conftest import golden
from tests.outside import networks
from tests.pretraining.tiny import SPACE, golden_crops, golden_poa, golden_specs, random_crops

NETWORK = {"space": SPACE, "image_size": 32, "patch_size": 8}
BACKBONE = {"type": "poa_bench.Supernet", **NETWORK}
HEAD = {"prototypes": [16, 24], "hidden_features": 32, "bottleneck_features": 12}
GREY = Preprocessing(mean=(127.5,) * 3, std=(63.75,) * 3, image_size=32)


def numbers(name: str) -> dict:
    with np.load(golden(f"baselines/{name}.npz"), allow_pickle=False) as archive:
        return {key: torch.from_numpy(archive[key]) for key in archive if key != "meta_json"}


def of(width: int, channels: int | None = None) -> SimpleNamespace:
    """What a head asks of its teacher when it is built."""
    return SimpleNamespace(width=width, channels=channels or width)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Of a POA pre-training, as far as its teacher is concerned; every tensor random."""
    torch.manual_seed(5)
    supernet = Supernet(**NETWORK)
    supernet.preprocessing = GREY
    branch = Branch(supernet, ProjectionHead(64, **HEAD))
    with torch.no_grad():
        for parameter in branch.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp("teacher") / "iter_1.pth"
    meta = {"poa_bench": supernet.describe(), "objective": {"evaluated_branch": "teacher"}}
    tensors = {f"teacher.{name}": tensor for name, tensor in branch.state_dict().items()}
    torch.save({"meta": meta, "state_dict": tensors}, path)
    return path


def rebuilt(checkpoint: Path) -> Branch:
    """The same branch without any of the code that is tested."""
    branch = Branch(Supernet(**NETWORK), ProjectionHead(64, **HEAD))
    tensors = torch.load(checkpoint, weights_only=True)["state_dict"]
    branch.load_state_dict({name.removeprefix("teacher."): tensor for name, tensor in tensors.items()})
    return branch.eval()


# features (Proteus)


def proteus() -> tuple[FeatureMatching, dict]:
    found = numbers("proteus_heads")
    head = FeatureMatching(12, of(20)).double()
    names = {"cls": "token_head", "tokens": "fea_head", "masked": "patch_head"}
    head.load_state_dict(
        {
            f"heads.{name}.{part}": found[f"param/{official}.{part}"]
            for name, official in names.items()
            for part in ("0.weight", "0.bias", "1.weight", "1.bias")
        }
    )
    return head, found


def test_proteus_losses_and_gradients_are_the_official_ones():
    head, found = proteus()
    tokens = {key: found[key].clone().requires_grad_() for key in found if key.startswith("student_")}

    def network(images, masks=None):
        return Output(tokens["student_cls"], tokens["student_patch" if masks is None else "student_patch_masked_input"])

    def teacher(images, grid=None):
        return Output(found["teacher_cls"], found["teacher_patch"])

    crops = Crops(torch.empty(6, 3, 1, 1), torch.empty(0), found["masks"])
    terms = head.compare(head.find(network, crops), head.target(teacher, crops, (4, 4)))
    for name, official in {"cls": "token_loss", "tokens": "fea_loss", "masked": "patch_loss"}.items():
        assert terms[name].item() == pytest.approx(found[f"loss/{official}"].item(), rel=1e-6), name
    sum(terms.values()).backward()
    gradients = {name: parameter.grad for name, parameter in head.named_parameters()}
    official = {"token_head": "cls", "fea_head": "tokens", "patch_head": "masked"}
    keys = [key for key in found if key.startswith("grad/")]
    assert len(keys) == 3 + 12
    for key in keys:
        part, _, rest = key.removeprefix("grad/").partition(".")
        gradient = tokens[part].grad if part in tokens else gradients[f"heads.{official[part]}.{rest}"]
        torch.testing.assert_close(gradient, found[key], rtol=1e-4, atol=1e-7)


def test_without_masked_patches_their_term_is_zero_and_its_gradient_too():
    head, _ = proteus()
    crops = Crops(torch.empty(2, 3, 1, 1), torch.empty(0), torch.zeros(2, 4, dtype=torch.bool))
    features = Output(torch.randn(2, 12).double(), torch.randn(2, 4, 12).double())
    target = Output(torch.randn(2, 20).double(), torch.randn(2, 4, 20).double())
    terms = head.compare(head.find(lambda *_: features, crops), head.target(lambda *_: target, crops, (2, 2)))
    assert terms["masked"] == 0
    terms["masked"].backward()
    assert all((parameter.grad == 0).all() for parameter in head.heads["masked"].parameters())


@pytest.mark.parametrize("alpha", [True, False])
def test_a_narrow_student_is_matched_by_the_first_columns(alpha):
    head, features = FeatureMatching(12, of(5), alpha=alpha).heads["cls"], torch.randn(3, 8)
    normed = torch.nn.LayerNorm(8, eps=1e-5)(features)  # its weights are 1 and 0, as the head's are at the start
    expected = normed @ head[1].weight[:, :8].T * (12 / 8 if alpha else 1) + head[1].bias
    torch.testing.assert_close(head(features), expected)


def test_targets_normalised_over_channels():
    head = FeatureMatching(12, of(6), {"masked": 0.0, "tokens": 0.0}, normalised=True)
    features = 3 + 5 * torch.randn(4, 6)
    found = head.target(lambda *_: Output(features, features[:, None]), random_crops(2), (1, 1))["cls"]
    expected = (features - features.mean(1, keepdim=True)) / features.var(1, correction=0, keepdim=True).add(
        1e-5
    ).sqrt()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("weights", "teacher", "message"),
    [
        ({"cls": -1.0}, of(6), "no weight may be below 0"),
        ({"cls": 0.0, "tokens": 0.0, "masked": 0.0}, of(6), "one must be above"),
        ({"token": 1.0}, of(6), "model.head.weights.token"),
        ({}, of(6, 8), "class feature has length 6, its patches 8"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, teacher, message):
    with pytest.raises(InputError, match=message):
        FeatureMatching(12, teacher, weights)


# similarities (SEED)


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


def test_intact_student_as_target_of_the_drawn_one():
    head = QueueSimilarity(8, of(4), entries=7)
    rows, own, intact = (F.normalize(torch.randn(3, 4), dim=1) for _ in range(3))
    found = head.compare({"global": rows}, {"global": own}, {"global": intact})["global"]
    ways = [torch.cat([own[i : i + 1], head.queues["global"].entries]) for i in range(3)]
    expected = -sum(
        ((way @ intact[i] / 0.2).softmax(0) * (way @ rows[i] / 0.2).log_softmax(0)).sum() for i, way in enumerate(ways)
    )
    assert found.item() == pytest.approx(expected.item() / 3, rel=1e-5)


# the teacher


@pytest.mark.parametrize("name", [networks.TOKEN, networks.DINO2, networks.SWIN, networks.RESNET, networks.CONVNEXT])
def test_a_network_of_timm_teaches_what_timm_says_of_pictures_normalised_its_way(name, tmp_path):
    file = networks.write(networks.stock(name, classes=0), tmp_path / "weights.safetensors")
    teacher = load_teacher(str(file), timm_name=name, arguments=networks.ARGUMENTS[name])
    own = teacher.preprocessing
    pictures = 255 * torch.rand(2, 3, networks.SIDE, networks.SIDE)
    teacher.see_what(torch.tensor(GREY.mean).view(3, 1, 1), torch.tensor(GREY.std).view(3, 1, 1))
    found = teacher(normalize(pictures, list(GREY.mean), list(GREY.std)))
    stock = networks.stock(name, classes=0)
    images = normalize(pictures, list(own.mean), list(own.std))
    with torch.no_grad():
        features = stock.forward_features(images)
        expected = features[:, 0] if name in (networks.TOKEN, networks.DINO2) else stock(images)
    torch.testing.assert_close(found.cls, expected, rtol=1e-4, atol=1e-4)
    patches = {
        networks.RESNET: lambda: features.flatten(2).transpose(1, 2),
        networks.CONVNEXT: lambda: features.flatten(2).transpose(1, 2),
        networks.SWIN: lambda: features.flatten(1, 2),
    }.get(name, lambda: features[:, getattr(stock, "num_prefix_tokens", 0) :])()
    torch.testing.assert_close(found.patches, patches, rtol=1e-4, atol=1e-4)
    assert (teacher.width, teacher.channels) == (found.cls.shape[1], found.patches.shape[2])
    assert teacher.describe()["teacher"] == f"timm:{name}" and len(teacher.sha256) == 64


def test_patches_of_another_grid_are_resized(checkpoint):
    teacher, images = load_teacher(str(checkpoint)), torch.randn(2, 3, 32, 32)
    whole = teacher(images).patches.transpose(1, 2).unflatten(2, (4, 4))
    for grid in ((3, 3), (6, 5)):
        expected = resize(whole, list(grid), antialias=True).flatten(2).transpose(1, 2)
        torch.testing.assert_close(teacher(images, grid).patches, expected)
    assert torch.equal(teacher(images, (4, 4)).patches, teacher(images).patches)


def test_intact_network_a_size_and_an_extracted_file_teach_what_the_supernet_says(checkpoint, tmp_path):
    branch, images = rebuilt(checkpoint), torch.randn(2, 3, 32, 32)
    size = branch.backbone.space.smallest
    save_subnet(branch.backbone, size, tmp_path / "small.safetensors", "0" * 64)
    for teacher, spec in (
        (load_teacher(str(checkpoint)), None),
        (load_teacher(str(checkpoint), spec=str(size)), size),
        (load_teacher(str(tmp_path / "small.safetensors")), size),
    ):
        with torch.no_grad():
            torch.testing.assert_close(tuple(teacher(images)), tuple(branch.backbone(images, spec)))


def test_heads_of_a_checkpoint_are_those_of_its_training(checkpoint):
    branch, images = rebuilt(checkpoint), torch.randn(2, 3, 32, 32)
    head = load_head(checkpoint)
    for found, expected in zip(head.prototypes(), branch.head.prototypes(), strict=True):
        assert torch.equal(found, expected)
    teacher = load_teacher(str(checkpoint), feature="head")
    with torch.no_grad():
        torch.testing.assert_close(teacher(images).cls, branch.head(branch.backbone(images).cls)[0])
    assert teacher.width == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "names no network: give model.teacher.checkpoint=FILE"),
        ({"checkpoint": "nowhere.pth"}, "no file nowhere.pth"),
        ({"timm_name": networks.RESNET}, "resnet10t, without weights: give model.teacher.checkpoint"),
        ({"timm_name": networks.RESNET, "feature": "head"}, "are of our own checkpoints"),
    ],
)
def test_a_teacher_that_is_not_there_is_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        load_teacher(**arguments)


# the objectives


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
    model = distill(checkpoint, backbone={**BACKBONE, "space": space}, elastic=False)
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
        ({"teacher": {"chekpoint": "x"}}, "model.teacher.chekpoint"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(checkpoint, settings, message):
    with pytest.raises(InputError, match=message):
        distill(checkpoint, **settings)


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
    assert isinstance(load_teacher(str(checkpoint)), FrozenTeacher)

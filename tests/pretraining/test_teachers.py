"""Frozen teachers of every kind say what timm, or the supernet that they are of, says of the same pictures."""

import pytest
import torch
from torchvision.transforms.v2.functional import normalize, resize

from poa_bench.elastic.checkpoint import save_subnet
from poa_bench.errors import InputError
from poa_bench.pretraining.teachers import load_head, load_teacher
from tests.outside import networks
from tests.pretraining.teaching import GREY, rebuilt, write_teacher


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher"))


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

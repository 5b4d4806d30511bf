"""Fine-tuning from the first layer of a projection head: its weights are those that pre-training applied to a size."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import save_checkpoint

from poa_bench.downstream.projection_layer import projection_layer
from poa_bench.elastic.checkpoint import save_subnet
from poa_bench.errors import InputError
from poa_bench.pretraining.heads import ProjectionHead
from poa_bench.registry import MODELS
from tests.downstream.networks import SPACES, backbone_config, tiny_supernet

HIDDEN = 24


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of a ViT with two projection heads, other ones in the student."""
    supernet, path = tiny_supernet("vit"), tmp_path_factory.mktemp("checkpoint") / "supernet.pth"
    state = {f"teacher.backbone.{name}": tensor for name, tensor in supernet.state_dict().items()}
    heads = {}
    for branch in ("teacher", "student"):
        heads[branch] = ProjectionHead(supernet.width(), [5, 7], HIDDEN, 6)
        for parameter in heads[branch].parameters():
            torch.nn.init.normal_(parameter)  # biases too
        state |= {f"{branch}.head.{name}": tensor for name, tensor in heads[branch].state_dict().items()}
    save_checkpoint({"state_dict": state, "meta": {"poa_bench": supernet.describe()}}, str(path))
    return path, heads, supernet


@pytest.mark.parametrize("spec", SPACES["vit"], ids=str)
@pytest.mark.parametrize("number", [0, 1])
def test_the_layer_is_the_one_that_the_size_was_trained_with(trained, spec, number):
    path, heads, _ = trained
    weight, bias = projection_layer(path, spec.width, number)
    whole = heads["teacher"].get_submodule(f"mlp{number}")
    assert torch.equal(weight, whole[0].weight[:, : spec.width] * (32 / spec.width)) and torch.equal(
        bias, whole[0].bias
    )
    features = torch.randn(3, spec.width)
    rest = whole[1:](F.linear(features, weight, bias))
    torch.testing.assert_close(F.normalize(rest, dim=-1), heads["teacher"](features)[number])


def test_the_branch_is_a_choice_and_what_is_not_there_is_said(trained, tmp_path):
    path, heads, supernet = trained
    assert torch.equal(projection_layer(path, 32, branch="student")[0], heads["student"].mlp0[0].weight)
    with pytest.raises(InputError, match="no projection head number 2: it has 0, 1"):
        projection_layer(path, 16, head=2)
    with pytest.raises(InputError, match="of length 32 at most, and these have 48"):
        projection_layer(path, 48)
    save_subnet(supernet, supernet.space.smallest, tmp_path / "cut.safetensors", "0" * 64)
    with pytest.raises(InputError, match="has no projection head: give the checkpoint of its pre-training"):
        projection_layer(tmp_path / "cut.safetensors", 16)
    bare = {f"teacher.backbone.{name}": tensor for name, tensor in supernet.state_dict().items()}
    save_checkpoint({"state_dict": bare, "meta": {"poa_bench": supernet.describe()}}, str(tmp_path / "bare.pth"))
    with pytest.raises(InputError, match="holds no head of the teacher"):
        projection_layer(tmp_path / "bare.pth", 16)


def classifier(spec, checkpoint, **head):
    pytest.importorskip("mmpretrain")
    head = {"num_classes": 4, "in_channels": "backbone.features", "hidden_features": HIDDEN, **head}
    source = {"checkpoint": "backbone.checkpoint", "branch": "backbone.branch"}
    return MODELS.build(
        {
            "type": "poa_bench.SizedModel",
            "base": "mmpretrain.ImageClassifier",
            "backbone": backbone_config(spec, checkpoint, output="pooled"),
            "head": {"type": "poa_bench.FirstLayerClsHead", **source, **head},
        }
    )


def test_a_classifier_starts_from_the_checkpoint_of_its_backbone(trained):
    path, heads, supernet = trained
    spec = supernet.space.smallest
    model = classifier(spec, path, head=1)
    model.init_weights()
    images = torch.rand(2, 3, 32, 32)
    features = supernet.extract(spec)(images)
    hidden = F.gelu(F.linear(features, 2 * heads["teacher"].mlp1[0].weight[:, :16], heads["teacher"].mlp1[0].bias))
    torch.testing.assert_close(model.eval().head.pre_logits(model.backbone(images)), hidden)
    torch.testing.assert_close(model(images), model.head.fc(hidden))
    assert model.head.fc.fc.weight.shape == (4, HIDDEN) and all(each.requires_grad for each in model.parameters())


def test_without_a_checkpoint_the_layer_is_new_and_another_length_is_refused(trained, log):
    path, heads, supernet = trained
    model = classifier(supernet.space.smallest, None)
    model.init_weights()
    assert "head: no checkpoint given, its first layer is random" in log
    with pytest.raises(InputError, match="have 24 hidden features and the config says 2048: set model.head.hidden"):
        classifier(supernet.space.smallest, path, hidden_features=2048).init_weights()

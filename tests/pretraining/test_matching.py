"""Distillation by features: losses and gradients of the official code (Proteus), narrow students, what is refused."""

import pytest
import torch

from poa_bench.elastic.family import Output
from poa_bench.errors import InputError
from poa_bench.pretraining.matching import FeatureMatching
from poa_bench.pretraining.objective import Crops
from poa_bench.pretraining.rows import places_of_masked
from tests.pretraining.teaching import numbers, of
from tests.pretraining.tiny import random_crops


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
    masked = places_of_masked(crops.masks)
    terms = head.compare(head.find(network, crops, masked), head.target(teacher, crops, (4, 4), masked))
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
    masked = places_of_masked(crops.masks)
    found = head.find(lambda *_: features, crops, masked)
    terms = head.compare(found, head.target(lambda *_: target, crops, (2, 2), masked))
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
    found = head.target(lambda *_: Output(features, features[:, None]), random_crops(2), (1, 1), None)["cls"]
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

"""Heads, targets, the table of terms and the POA model around them."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from poa_bench.errors import InputError
from poa_bench.pretraining.balancing import CenteredTargets
from poa_bench.pretraining.heads import ProjectionHead
from poa_bench.pretraining.objectives.poa import VARIANTS, LossWeights, loss_table
from poa_bench.pretraining.targets import biased_softmax
from poa_bench.pretraining.terms import pairing_matrix
from tests.pretraining.tiny import random_crops, tiny_poa

SMALLEST = "vit-w32-d3"


def small_head(**settings) -> ProjectionHead:
    torch.manual_seed(0)
    return ProjectionHead(8, prototypes=(5, 7), hidden_features=6, bottleneck_features=4, **settings)


@pytest.mark.parametrize("alpha", [True, False])
def test_head_of_a_narrow_network_uses_the_first_columns(alpha):
    head, features = small_head(alpha=alpha), torch.randn(3, 6)
    first = head.mlp1[0]
    hidden = features @ first.weight[:, :6].T * (8 / 6 if alpha else 1) + first.bias
    expected = F.normalize(head.mlp1[1:](hidden), dim=-1)
    torch.testing.assert_close(head(features)[1], expected)


def test_prototypes_start_with_length_one_and_keep_the_names_of_weight_norm():
    head = small_head()
    names = {name for name, _ in head.named_parameters() if name.startswith("last_layer1")}
    assert names == {"last_layer1.weight_g", "last_layer1.weight_v"}
    torch.testing.assert_close(head.prototypes()[1].norm(dim=1), torch.ones(7))


def test_head_without_prototypes_is_refused():
    with pytest.raises(InputError, match="at least one head"):
        ProjectionHead(8, prototypes=())
    assert ProjectionHead(8, prototypes=5).count == 1


def test_centering_is_dinos():
    targets = CenteredTargets(momentum=0.9)
    targets.prepare(["teacher_global"], [5])
    rows, prototypes = F.normalize(torch.randn(2, 3, 4), dim=-1), torch.randn(5, 4)
    logits = rows @ prototypes.T
    first = targets("teacher_global", 0, rows, prototypes, 0.05)
    torch.testing.assert_close(first.probabilities(), (logits / 0.05).softmax(dim=-1))
    center = 0.1 * logits.mean(dim=(0, 1))
    second = targets("teacher_global", 0, rows, prototypes, 0.05)
    torch.testing.assert_close(second.probabilities(), ((logits - center) / 0.05).softmax(dim=-1))
    center = targets.center_teacher_global_0.clone()
    targets("teacher_global", 0, torch.zeros(1, 0, 4), prototypes, 0.05)  # a batch without masked patches
    torch.testing.assert_close(targets.center_teacher_global_0, center)


def weights_of(table) -> dict[str, float]:
    return {term.name: pytest.approx(term.weight) for term in table}


def test_table_of_the_official_code():
    assert weights_of(loss_table(LossWeights(), local_views=8)) == {
        "intact_global": 0.8 * 2 / 18,
        "intact_local": 0.8 * 16 / 18,
        "intact_patch": 0.8,
        "elastic_global": 0.2 * 2 / 18,
        "elastic_local": 0.2 * 16 / 18,
        "elastic_patch": 0.2,
        "elastic_same_global": 0.2,
        "elastic_same_local": 0.2,
    }


def test_table_of_the_paper_counts_global_and_local_alike():
    table = weights_of(loss_table(LossWeights(weighting="paper"), local_views=8))
    assert table["intact_global"] == table["intact_local"] == 0.8
    assert table["elastic_global"] == table["elastic_same_global"] == table["elastic_same_local"] == 0.2


@pytest.mark.parametrize(
    ("settings", "gone"),
    [
        ({"same_view": 0}, {"elastic_same_global", "elastic_same_local"}),
        ({"elastic_cross_view": 0}, {"elastic_global", "elastic_local"}),
        ({"patch": 0}, {"intact_patch", "elastic_patch"}),
        ({"lambda_intact": 1}, {name for name in weights_of(loss_table(LossWeights())) if "elastic" in name}),
    ],
)
def test_parts_are_switched_off(settings, gone):
    everything = set(weights_of(loss_table(LossWeights())))
    assert set(weights_of(loss_table(LossWeights(**settings)))) == everything - gone


@pytest.mark.parametrize("settings", [{"weighting": "both"}, {"lambda_intact": 1.5}])
def test_unknown_weights_are_refused(settings):
    with pytest.raises(InputError, match="use 'official' or 'paper'|must lie in"):
        LossWeights(**settings)


def test_unknown_variant_is_refused():
    with pytest.raises(InputError, match="use one of poa, intact, v1, v2, v3"):
        loss_table(LossWeights(), "v4")


def test_pairings():
    assert pairing_matrix("other_view", 2, 2).tolist() == [[0, 1], [1, 0]]
    assert pairing_matrix("all_views", 3, 2).tolist() == [[1, 1]] * 3
    assert pairing_matrix("same_view", 3, 3).tolist() == torch.eye(3).tolist()


@pytest.mark.parametrize("width", [64, 32])
def test_products_of_the_heads_are_those_that_torch_counts(width):
    head = tiny_poa().student.head
    with FlopCounterMode(display=False) as counter:
        head(torch.randn(1, width))
    assert 2 * head.macs(width / head.in_features) == counter.get_total_flops()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains(variant):
    model = tiny_poa(variant=variant)
    model.decide(sizes=(model.student.backbone.space.parse(SMALLEST),) * model.drawn)
    losses = model.loss(random_crops(), model.settings)
    losses["loss"].backward()
    students = {name.split("_")[0] for name in VARIANTS[variant]}
    assert {name.split("_")[0] for name in losses} - {"loss", "koleo"} == students
    gradients = {name: parameter.grad for name, parameter in model.student.named_parameters()}
    whole = "intact" in students
    assert all(gradient is not None for gradient in gradients.values()) == whole
    columns = gradients["backbone.network.blocks.0.mlp.fc1.weight"].abs().sum(dim=0)
    assert columns[32:].any() == whole and columns[:32].all()
    assert all(parameter.grad is None for parameter in model.teacher.parameters())


def test_a_step_without_a_drawn_size_is_refused():
    with pytest.raises(InputError, match="POA needs 1 drawn sizes in each step, found 0: default_hooks.subnet"):
        (model := tiny_poa()).loss(random_crops(), model.settings)


def test_spec_of_the_elastic_student_changes_only_elastic_terms():
    model = tiny_poa()
    crops = random_crops()
    values = []
    for spec in (SMALLEST, "vit-w48-d4"):
        model.decide(sizes=(model.student.backbone.space.parse(spec),))
        values.append(model.loss(crops, model.settings))
    differ = {name for name in values[0] if not torch.equal(values[0][name], values[1][name])}
    assert differ == {name for name in values[0] if name.startswith("elastic")} | {"loss", "koleo"}


@pytest.mark.parametrize("local_views", [0, 3])
@pytest.mark.parametrize("masked", [0.0, 0.3])
def test_all_parameters_have_a_gradient_whatever_the_batch_holds(local_views, masked):
    """So that DistributedDataParallel needs no search for unused parameters."""
    model = tiny_poa()
    model.decide(sizes=(model.student.backbone.space.parse(SMALLEST),))
    model.loss(random_crops(local_views=local_views, masked=masked), model.settings)["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.student.parameters())


def test_patch_loss_that_has_not_begun_equals_no_masks():
    model = tiny_poa()
    model.decide(sizes=(model.student.backbone.space.parse(SMALLEST),))
    model.decide(patch_weight=0.0)
    losses = model.loss(random_crops(masked=0.3), model.settings)
    losses["loss"].backward()
    assert not model.student.backbone.mask_token.grad.any()
    assert losses["loss"].item() == pytest.approx(model.loss(random_crops(masked=0.0), model.settings)["loss"].item())
    assert [losses[name].item() for name in ("intact_patch", "elastic_patch")] == [0, 0]  # named in every line of a log


def test_teacher_follows_the_student_and_never_drops_paths():
    model = tiny_poa()
    assert model.training and not model.teacher.training
    before = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(1.0)
    model.decide(teacher_momentum=0.75)
    model.after_update()
    for name, value in model.teacher.state_dict().items():
        torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * model.student.state_dict()[name])


def test_bfloat16_step_keeps_float32_losses_near_the_float32_ones():
    model = tiny_poa()
    model.decide(sizes=(model.student.backbone.space.parse(SMALLEST),))
    expected = model.loss(random_crops(), model.settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.loss(random_crops(), model.settings)
    for name, value in found.items():
        assert value.dtype == torch.float32
        if name not in ("loss", "koleo"):  # KoLeo of almost equal untrained features is all rounding
            assert value.item() == pytest.approx(expected[name].item(), rel=0.02), name


def test_activation_checkpointing_changes_nothing_but_memory():
    torch.manual_seed(0)
    plain = tiny_poa()
    frugal = tiny_poa(checkpoint_activations=True)
    frugal.load_state_dict(plain.state_dict())
    gradients = []
    for model in (plain, frugal):
        model.decide(sizes=(model.student.backbone.space.parse(SMALLEST),))
        model.loss(random_crops(), model.settings)["loss"].backward()
        gradients.append([parameter.grad for parameter in model.student.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_bias_moves_probability():
    rows, prototypes = F.normalize(torch.randn(3, 4), dim=-1), torch.randn(5, 4)
    bias = torch.tensor([math.log(2.0), 0, 0, 0, 0])
    plain, biased = (biased_softmax(rows, prototypes, 0.1, b) for b in (None, bias))
    expected = plain * torch.tensor([2.0, 1, 1, 1, 1])
    torch.testing.assert_close(biased, expected / expected.sum(dim=-1, keepdim=True))

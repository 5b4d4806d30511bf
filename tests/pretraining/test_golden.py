"""One whole step against the official implementation's numbers, for every sub-network in the file."""

import numpy as np
import pytest
import torch

from tests.pretraining.tiny import golden_crops, golden_poa, golden_specs, numbers, our_name

SUBNETS = ("w64-d6", "w32-d3", "w48-d4", "w64-d4", "w32-d6")
RELATIVE = 1e-4


@pytest.fixture(params=SUBNETS, scope="module")
def step(request):
    """(name, losses, per-head term values, student with gradients) of one sub-network."""
    model = golden_poa(chunk_elements=4000)  # several chunks
    model.decide(sizes=(golden_specs()[request.param],))
    per_head = []
    compare = model.compare
    model.compare = lambda *arguments: per_head.append(compare(*arguments)) or per_head[-1]
    losses = model.loss(golden_crops(), model.settings)
    losses["loss"].backward()
    names = [name for name in losses if name not in ("loss", "koleo")]
    values = dict(zip(names, per_head[0][1].T, strict=True))
    return request.param, losses, values, model.student


def test_all_subnets_of_the_file_are_covered():
    assert set(SUBNETS) == set(golden_specs())


def test_every_term(step):
    name, losses, values, _ = step
    both = {kind: 0.8 * values[f"intact_{kind}"] + 0.2 * values[f"elastic_{kind}"] for kind in ("global", "local")}
    patch = 0.8 * values["intact_patch"] + 0.2 * values["elastic_patch"]
    found = {"koleo_loss": 0.1 * losses["koleo"] / 2, "total": losses["loss"]}
    for head in range(4):
        found[f"dino_global_crops_loss_{head}"] = both["global"][head] * 2 / 18
        found[f"dino_local_crops_loss_{head}"] = both["local"][head] * 16 / 18
        found[f"distill_global_crops_loss_{head}"] = values["elastic_same_global"][head]
        found[f"distill_local_crops_loss_{head}"] = values["elastic_same_local"][head]
        found[f"ibot_loss_{head}"] = patch[head] / 2
    prefix = f"{name}/loss/"
    expected = {key.removeprefix(prefix): float(value) for key, value in numbers().items() if key.startswith(prefix)}
    assert set(found) == set(expected)
    for term, value in expected.items():
        assert found[term].item() == pytest.approx(value, rel=RELATIVE), term


def test_every_gradient_norm(step):
    name, _, _, student = step
    prefix = f"{name}/grad_norm/"
    expected = {key.removeprefix(prefix): float(value) for key, value in numbers().items() if key.startswith(prefix)}
    assert {our_name(key) for key in expected} == {key for key, _ in student.named_parameters()}
    for key, norm in expected.items():
        gradient = student.get_parameter(our_name(key)).grad
        assert gradient.norm().item() == pytest.approx(norm, rel=RELATIVE), key


def test_stored_gradients(step):
    name, _, _, student = step
    prefix = f"{name}/grad/"
    keys = [key for key in numbers() if key.startswith(prefix)]
    assert keys
    for key in keys:
        gradient = student.get_parameter(our_name(key.removeprefix(prefix))).grad
        scale = np.abs(numbers()[key]).max()
        torch.testing.assert_close(gradient, torch.from_numpy(numbers()[key]), rtol=RELATIVE, atol=RELATIVE * scale)

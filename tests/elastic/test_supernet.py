"""The one claim: the supernet run at a size is the extracted stock network of that size."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet
from poa_bench.errors import InputError

SPACE = SearchSpace("vit", widths=[16, 32, 48], depths=[1, 2, 4], head_dim=16)


def randomised(supernet: Supernet) -> Supernet:
    """No zero and no unit parameter left, so that nothing can hide."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return supernet


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return randomised(Supernet(SPACE, image_size=16, patch_size=4, init_values=1e-5)).eval()


@pytest.mark.parametrize("spec", SPACE, ids=str)
@pytest.mark.parametrize("size", [(16, 16), (8, 8), (96, 96), (21, 13)], ids=str)
def test_supernet_forward_is_the_extracted_forward(supernet, spec, size):
    images = torch.randn(2, 3, *size)
    module = supernet.extract(spec)
    assert type(module) is VisionTransformer
    with torch.no_grad():
        output = supernet(images, spec)
        tokens = module.forward_features(images)
        torch.testing.assert_close(output.cls, tokens[:, 0], atol=1e-5, rtol=0)
        torch.testing.assert_close(output.patches, tokens[:, 1:], atol=1e-5, rtol=0)
        torch.testing.assert_close(output.cls, module(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize("spec", SPACE, ids=str)
@pytest.mark.parametrize("size", [(16, 16), (96, 96), (21, 13)], ids=str)
def test_masked_forward_is_the_extracted_forward_with_mask_tokens(supernet, spec, size):
    images = torch.randn(3, 3, *size)
    rows, columns = supernet.patch_grid(*size)
    mask = torch.rand(3, rows * columns) < 0.4
    module = supernet.extract(spec)
    with torch.no_grad():
        output = supernet(images, spec, mask)
        # oracle: the stock network's parts, called one by one
        tokens = module.patch_embed(images)
        tokens[mask.view(3, rows, columns)] = supernet.mask_token[0, : spec.width]
        tokens = module.norm(module.blocks(module._pos_embed(tokens)))
    torch.testing.assert_close(output.cls, tokens[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.patches, tokens[:, 1:], atol=1e-5, rtol=0)


def test_slices_by_hand(supernet):
    spec = SubnetSpec("vit", 32, (2,))
    full, module = supernet.network.state_dict(), supernet.extract(spec).state_dict()
    alpha = 48 / 32
    weight = full["blocks.3.attn.qkv.weight"]  # block 1 of 2 is block 3 of 4
    expected = torch.cat([weight[0:32, :32], weight[48:80, :32], weight[96:128, :32]]) * alpha
    torch.testing.assert_close(module["blocks.1.attn.qkv.weight"], expected)
    bias = full["blocks.3.attn.qkv.bias"]
    torch.testing.assert_close(module["blocks.1.attn.qkv.bias"], torch.cat([bias[0:32], bias[48:80], bias[96:128]]))
    torch.testing.assert_close(module["blocks.1.mlp.fc1.weight"], full["blocks.3.mlp.fc1.weight"][:128, :32] * alpha)
    torch.testing.assert_close(module["blocks.1.mlp.fc2.bias"], full["blocks.3.mlp.fc2.bias"][:32])
    torch.testing.assert_close(module["pos_embed"], full["pos_embed"][..., :32])
    torch.testing.assert_close(module["norm.weight"], full["norm.weight"][:32])


def test_gradients_land_only_in_the_slice(supernet):
    spec = SubnetSpec("vit", 16, (2,))
    supernet.zero_grad()
    mask = torch.zeros(2, 16, dtype=torch.bool)
    mask[:, 3] = True
    output = supernet(torch.randn(2, 3, 16, 16), spec, mask)
    (output.cls.square().sum() + output.patches.square().sum()).backward()
    gradients = {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}
    assert not any(name.startswith(("network.blocks.1.", "network.blocks.2.")) for name in gradients)
    qkv = gradients["network.blocks.3.attn.qkv.weight"].unflatten(0, (3, 48))
    assert qkv[:, :16, :16].abs().min() > 0
    assert qkv[:, 16:].abs().max() == 0 and qkv[:, :, 16:].abs().max() == 0
    assert gradients["mask_token"][:, :16].abs().min() > 0 and gradients["mask_token"][:, 16:].abs().max() == 0
    assert gradients["network.pos_embed"][..., 16:].abs().max() == 0
    supernet.zero_grad()


def test_intact_spec_is_the_full_module(supernet):
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(supernet(images).cls, supernet(images, SPACE.intact).cls)
    assert torch.equal(supernet(images).cls, supernet.network(images)[:, 0])


def test_extracted_module_owns_its_weights(supernet):
    module = supernet.extract(SPACE.intact)
    before = supernet.network.norm.weight.clone()
    with torch.no_grad():
        module.norm.weight.zero_()
    assert torch.equal(supernet.network.norm.weight, before)


@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("spec", SPACE, ids=str)
def test_no_memory_is_shared_with_the_supernet(spec, alpha):
    net = Supernet(SPACE, alpha=alpha, image_size=16, patch_size=4)
    full = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    module = net.extract(spec)
    assert not full & {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    assert all(parameter.is_contiguous() and parameter.requires_grad for parameter in module.parameters())


def test_alpha_can_be_switched_off():
    supernet = randomised(Supernet(SPACE, alpha=False, image_size=16, patch_size=4))
    full = supernet.network.blocks[0].mlp.fc1.weight
    torch.testing.assert_close(supernet.extract(SPACE.smallest).blocks[0].mlp.fc1.weight, full[:64, :16])


@pytest.mark.parametrize("uniform", [False, True])
def test_drop_path_follows_the_supernets_block(uniform):
    options = {"image_size": 16, "patch_size": 4, "drop_path_rate": 0.3}
    supernet = Supernet(SPACE, drop_path_uniform=uniform, **options)
    module = supernet.extract(SubnetSpec("vit", 16, (2,)))
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in module.blocks]
    assert rates == pytest.approx([0.3, 0.3] if uniform else [0.0, 0.3])


def test_checkpointed_blocks_give_the_same_gradients(supernet):
    images, spec = torch.randn(2, 3, 16, 16), SubnetSpec("vit", 32, (2,))

    def gradients() -> dict[str, torch.Tensor]:
        supernet.zero_grad()
        supernet(images, spec).cls.square().sum().backward()
        return {name: p.grad.clone() for name, p in supernet.named_parameters() if p.grad is not None}

    plain = gradients()
    supernet.set_grad_checkpointing(True)
    try:
        recomputed = gradients()
    finally:
        supernet.set_grad_checkpointing(False)
    assert plain.keys() == recomputed.keys()
    for name in plain:
        torch.testing.assert_close(plain[name], recomputed[name])
    supernet.zero_grad()


def test_description_builds_the_same_supernet(supernet):
    again = Supernet.from_description(supernet.describe())
    again.load_state_dict(supernet.state_dict(), strict=True)
    images, spec = torch.randn(1, 3, 16, 16), SubnetSpec("vit", 32, (4,))
    assert torch.equal(again.eval()(images, spec).cls, supernet(images, spec).cls)


def test_bad_input(supernet):
    with pytest.raises(InputError, match="smaller than a patch"):
        supernet(torch.randn(1, 3, 3, 16))
    with pytest.raises(InputError, match="mask has shape"):
        supernet(torch.randn(1, 3, 16, 16), mask=torch.zeros(1, 4, dtype=torch.bool))
    with pytest.raises(InputError, match="not in this supernet's space"):
        supernet(torch.randn(1, 3, 16, 16), SubnetSpec("vit", 64, (2,)))
    with pytest.raises(InputError, match="unknown family 'mlp'"):
        Supernet({"family": "mlp", "widths": [8], "depths": [[1]]})

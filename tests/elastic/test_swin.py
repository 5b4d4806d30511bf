"""Swin: every size is the Swin Transformer of its size, masked or not, for any image size."""

import math

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet
from poa_bench.errors import InputError
from tests.elastic.torchvision_swin import in_torchvision

SPACE = SearchSpace("swin", widths=[16, 32, 48], depths=[2, 3, 6], head_dim=16)
# 32 is the size of the windows' grid, 96 a local crop, the last is odd in every stage
SIZES = [(32, 32), (96, 96), (53, 38)]


@pytest.fixture(scope="module")
def supernet(randomised) -> Supernet:
    return randomised(Supernet(SPACE, image_size=32, patch_size=2, window_size=4))


@pytest.mark.parametrize("spec", SPACE, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_supernet_forward_is_the_extracted_forward(supernet, spec, size):
    images = torch.randn(2, 3, *size)
    rows, columns = supernet.patch_grid(*size)
    mask = torch.rand(2, rows * columns) < 0.4
    module = supernet.extract(spec)
    assert type(module) is SwinTransformer and module.num_features == supernet.width(spec) == 8 * spec.width
    with torch.no_grad():
        plain, masked = supernet(images, spec), supernet(images, spec, mask)
        last = module.forward_features(images)  # (B, rows / 2, columns / 2, 8w)
        torch.testing.assert_close(plain.cls, module(images), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(plain.patches, nearest(last), atol=1e-5, rtol=1e-5)
        # oracle: the stock network's parts, called one by one
        tokens = module.patch_embed(images)
        tokens[pixel_mask(mask, rows, columns, *tokens.shape[1:3])] = supernet.mask_token[0, : spec.width]
        last = module.norm(module.layers(tokens))
        torch.testing.assert_close(masked.patches, nearest(last), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(masked.cls, last.mean((1, 2)), atol=1e-5, rtol=1e-5)
    assert plain.patches.shape[1] == mask.shape[1] == rows * columns


@pytest.fixture(scope="module")
def windows_of_seven(randomised) -> Supernet:
    return randomised(Supernet(SPACE, image_size=224, window_size=7))


@pytest.mark.parametrize("spec", SPACE, ids=str)
def test_every_size_is_torchvisions(windows_of_seven, spec):
    """At 224 px all maps are whole windows; at the others maps of 3 to 64 positions are padded, shifted or neither."""
    module = windows_of_seven.extract(spec)
    judge = in_torchvision(module)
    stock = SwinTransformer(**windows_of_seven.family.arguments(SPACE, spec, {"img_size": 224}), num_classes=0).eval()
    stock.load_state_dict(module.state_dict(), strict=True)
    for size in ((224, 224), (96, 96), (128, 96), (256, 160)):
        images = torch.randn(1, 3, *size)
        with torch.no_grad():
            expected = judge(images)
            torch.testing.assert_close(windows_of_seven(images, spec).cls, expected)
            torch.testing.assert_close(module(images), expected)
            difference = (stock(images) - expected).norm() / expected.norm()
        assert (difference < 1e-5) == (size == (224, 224))  # so that this test can fail
        assert (difference < 1e-5) == (set(size) <= set(windows_of_seven.family.timm_sides(module)))


@pytest.mark.parametrize("image_size, window, sides", [(224, 7, [224]), (32, 4, [32]), (256, 7, [448, 672, 896])])
def test_sides_for_which_timms_class_is_exact(image_size, window, sides):
    """Where all maps are whole windows, and shifted if and only if they were when timm built the network."""
    supernet = Supernet(SPACE, image_size=image_size, patch_size=image_size // 56 or 2, window_size=window)
    assert supernet.family.timm_sides(supernet.network) == sides


def nearest(last: torch.Tensor) -> torch.Tensor:
    """(B, h, w, c) -> (B, 4hw, c), each position repeated twice along both sides."""
    upsampled = torch.nn.functional.interpolate(last.permute(0, 3, 1, 2), scale_factor=2, mode="nearest")
    return upsampled.flatten(2).transpose(1, 2)


def pixel_mask(mask: torch.Tensor, rows: int, columns: int, height: int, width: int) -> torch.Tensor:
    return torch.stack(
        [
            torch.tensor([[bool(one[(y // 4) * columns + x // 4]) for x in range(width)] for y in range(height)])
            for one in mask
        ]
    )


def test_slices_by_hand(supernet):
    module = supernet.extract(SubnetSpec("swin", 32, (3,))).state_dict()
    full, alpha = supernet.network.state_dict(), 48 / 32
    weight = full["layers.1.downsample.reduction.weight"]  # (96, 4 * 48)
    columns = torch.cat([torch.arange(32) + 48 * neighbour for neighbour in range(4)])
    torch.testing.assert_close(module["layers.1.downsample.reduction.weight"], weight[:64, columns] * alpha)
    torch.testing.assert_close(module["layers.1.downsample.norm.bias"], full["layers.1.downsample.norm.bias"][columns])
    block = "layers.2.blocks"  # widths 128 of 192, block 1 of 3 is block 2 of 6
    table = f"{block}.2.attn.relative_position_bias_table"
    torch.testing.assert_close(module[f"{block}.1.attn.relative_position_bias_table"], full[table][:, :8])
    rows = torch.cat([torch.arange(128) + 192 * part for part in range(3)])
    qkv = full[f"{block}.2.attn.qkv.weight"]
    torch.testing.assert_close(module[f"{block}.1.attn.qkv.weight"], qkv[rows][:, :128] * alpha)
    torch.testing.assert_close(module["patch_embed.norm.weight"], full["patch_embed.norm.weight"][:32])
    torch.testing.assert_close(module["norm.weight"], full["norm.weight"][:256])


def test_gradients_land_only_in_the_slice(supernet):
    supernet.zero_grad()
    rows, columns = supernet.patch_grid(32, 32)
    mask = torch.rand(2, rows * columns) < 0.5
    output = supernet(torch.randn(2, 3, 32, 32), SubnetSpec("swin", 16, (2,)), mask)
    output.patches.square().sum().backward()
    gradients = {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}
    assert {name.split(".")[4] for name in gradients if name.startswith("network.layers.2.blocks.")} == {"0", "5"}
    table = gradients["network.layers.2.blocks.5.attn.relative_position_bias_table"]
    assert table[:, :4].abs().max() > 0 and table[:, 4:].abs().max() == 0
    reduction = gradients["network.layers.1.downsample.reduction.weight"].unflatten(1, (4, 48))
    assert reduction[:32, :, :16].abs().min() > 0
    assert reduction[32:].abs().max() == 0 and reduction[:, :, 16:].abs().max() == 0
    assert gradients["mask_token"][:, 16:].abs().max() == 0 < gradients["mask_token"][:, :16].abs().min()
    supernet.zero_grad()


def test_shifts_alternate_in_every_size(supernet):
    for spec in SPACE:
        blocks = supernet.skeleton(spec).layers[1].blocks
        assert [block.shift_size for block in blocks] == [(0, 0), (2, 2)]
        for index, block in enumerate(supernet.extract(spec).layers[2].blocks):
            assert (block.target_shift_size == (0, 0)) == (index % 2 == 0)


def test_pairs_keep_what_each_block_was_trained_as(randomised):
    space = SearchSpace("swin", widths=[16, 32], depths=range(2, 7), head_dim=16, depth_rule="pairs")
    supernet = randomised(Supernet(space, image_size=32, patch_size=2, window_size=4))
    assert Supernet.from_description(supernet.describe()).space == space
    for spec in space:
        (kept,) = space.kept(spec)
        assert all(block % 2 == place % 2 for place, block in enumerate(kept))
        module = supernet.extract(spec)
        for place, block in enumerate(kept):
            bias = supernet.network.layers[2].blocks[block].mlp.fc2.bias
            assert torch.equal(module.layers[2].blocks[place].mlp.fc2.bias, bias[: 4 * spec.width])


@pytest.mark.parametrize("size, grid", [(224, (14, 14)), (96, (6, 6)), (230, (16, 16))])
def test_grid_of_the_paper(size, grid):
    with torch.device("meta"):
        supernet = Supernet(SearchSpace("swin", widths=[96], depths=[6], head_dim=16))
    assert supernet.patch_grid(size, size) == grid
    assert grid[0] == 2 * math.ceil(size / 32)


def test_drop_path_and_recomputed_blocks(randomised):
    options = {"image_size": 32, "patch_size": 2, "window_size": 4, "drop_path_rate": 0.3}
    supernet = randomised(Supernet(SPACE, **options))
    module = supernet.extract(SubnetSpec("swin", 16, (2,)))
    rates = [block.drop_path1.drop_prob for block in module.layers[2].blocks]
    assert rates == pytest.approx([0.3 * 4 / 11, 0.3 * 9 / 11])  # of blocks 0 and 5 of stage 3, 12 blocks in all
    images, spec = torch.randn(2, 3, 32, 32), SubnetSpec("swin", 32, (3,))

    def gradients() -> list[torch.Tensor]:
        supernet.zero_grad()
        supernet(images, spec).cls.square().sum().backward()
        return [p.grad.clone() for p in supernet.parameters() if p.grad is not None]

    plain = gradients()
    supernet.set_grad_checkpointing(True)
    torch.testing.assert_close(gradients(), plain)


def test_bad_input(supernet):
    with pytest.raises(InputError, match="smaller than a patch"):
        supernet(torch.randn(1, 3, 1, 32))
    with pytest.raises(InputError, match="head_dim"):
        Supernet(dict(family="swin", widths=[16], depths=[2]))
    with pytest.raises(InputError, match="'pairs'"):
        SearchSpace("swin", widths=[16], depths=[2], depth_rule="nested", head_dim=16)

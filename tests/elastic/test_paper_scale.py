"""The published search spaces: the claim of the small tests, for drawn sizes of the real ones."""

import itertools

import pytest
import torch

from poa_bench.elastic import SearchSpace, Supernet
from poa_bench.errors import InputError

OPTIONS = {"vit": {"init_values": 1e-5}, "swin": {}, "resnet": {}}
COUNTS = {"vit": 143, "swin": 39, "resnet": 465}
NAMED = {
    "vit": ("vit-s", "vit-b", "vit-l"),
    "swin": ("swin-t", "swin-s", "swin-b"),
    "resnet": ("resnet-50", "resnet-101", "resnet-152"),
}


@pytest.mark.parametrize("family", COUNTS)
def test_spaces(family):
    space = SearchSpace.paper(family)
    assert len(space) == len(set(space)) == COUNTS[family]
    assert SearchSpace.from_dict(space.to_dict()) == space
    for alias in NAMED[family]:
        assert space.parse(alias).alias == alias
    assert sum(space.probabilities().values()) == pytest.approx(1)


def test_unknown_family():
    with pytest.raises(InputError, match="vit, swin, resnet"):
        SearchSpace.paper("mlp")


def test_resnet_depths_are_one_list_by_total():
    """As in the official code: weight 2 for the shallowest of 155 depth pairs, 1 for the deepest, width ignored."""
    space = SearchSpace.paper("resnet")
    weights = {spec: space.weight(spec) for spec in space}
    assert weights[space.parse("resnet-50")] == 2 and weights[space.parse("resnet-152")] == 1
    # the list of the official code, where pairs with an equal total differ by at most their places
    pairs = sorted(itertools.product(*space.depths), key=sum)
    for place, pair in enumerate(pairs):
        ties = sum(sum(other) == sum(pair) for other in pairs)
        official = 2 - place / (len(pairs) - 1)
        for width in space.widths:
            spec = space.parse(f"resnet-w{width}-d{pair[0]}-{pair[1]}")
            assert abs(weights[spec] - official) <= (ties - 1) / 2 / (len(pairs) - 1) + 1e-12
    assert weights[space.parse("resnet-w64-d4-8")] == weights[space.parse("resnet-w96-d5-7")]


@pytest.mark.slow
@pytest.mark.parametrize("family", COUNTS)
def test_drawn_sizes_are_stock_networks(family, randomised):
    """Ten drawn sizes of each published space, masked, of an odd size and of 96 px."""
    space = SearchSpace.paper(family)
    supernet = randomised(Supernet(space, **OPTIONS[family]))
    drawn = (space.draw(0, iteration) for iteration in itertools.count())
    for spec in itertools.islice(dict.fromkeys(itertools.islice(drawn, 30)), 10):
        module = supernet.extract(spec)
        for height, width in ((224, 224), (96, 96), (149, 107)):
            images = torch.randn(1, 3, height, width)
            rows, columns = supernet.patch_grid(height, width)
            mask = torch.rand(1, rows * columns) < 0.3
            with torch.no_grad():
                output = supernet(images, spec)
                torch.testing.assert_close(output.cls, module(images), atol=1e-5, rtol=1e-4)
                masked = supernet(images, spec, mask)
                # a hook on the extracted network, at the place that the family names
                position = module.get_submodule(supernet.family.mask_module)
                handle = position.register_forward_hook(
                    lambda _module, _inputs, embedded, mask=mask: supernet.family.apply_mask(
                        supernet.network, embedded, mask, supernet.mask_token
                    )
                )
                torch.testing.assert_close(masked.cls, module(images), atol=1e-5, rtol=1e-4)
                handle.remove()
            assert not torch.allclose(masked.cls, output.cls, atol=1e-3)
            assert output.patches.shape == (1, rows * columns, supernet.width(spec))

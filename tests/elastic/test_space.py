"""Sizes: parsing, the candidates, the kept blocks and the drawing of sub-networks."""

from collections import Counter

import pytest

from poa_bench.elastic import SearchSpace, SubnetSpec
from poa_bench.elastic.space import kept_blocks
from poa_bench.errors import InputError


@pytest.fixture
def paper_space() -> SearchSpace:
    return SearchSpace("vit", widths=range(384, 1025, 64), depths=range(12, 25), head_dim=64)


@pytest.mark.parametrize("text", ["vit-w384-d12", "swin-w96-d6", "resnet-w64-d4-6"])
def test_text_round_trip(text):
    assert str(SubnetSpec.parse(text)) == text


def test_aliases():
    assert SubnetSpec.parse("vit-l") == SubnetSpec("vit", 1024, (24,))
    assert SubnetSpec("resnet", 64, (8, 36)).alias == "resnet-152"
    assert SubnetSpec("vit", 448, (12,)).alias is None


@pytest.mark.parametrize("text", ["vit-w-d1", "vit384", "vit-w0-d2", "vit-w64-d4-", ""])
def test_unknown_text_is_refused_with_examples(text):
    with pytest.raises(InputError, match="vit-w384-d12"):
        SubnetSpec.parse(text)


def test_paper_space_has_143_sizes(paper_space):
    specs = list(paper_space)
    assert len(paper_space) == len(specs) == len(set(specs)) == 143
    assert (paper_space.smallest.alias, paper_space.intact.alias) == ("vit-s", "vit-l")


def test_spec_outside_the_space(paper_space):
    assert paper_space.parse("vit-b").width == 768
    for text in ("vit-w400-d12", "vit-w384-d11", "swin-w96-d6", "vit-w384-d12-12"):
        with pytest.raises(InputError, match="widths \\[384, 448"):
            paper_space.parse(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": [64, 48]},
        {"widths": [50]},
        {"head_dim": 0},
        {"depths": []},
        {"depths": [[2, 2]]},
        {"s_w": 0},
        {"colour": 1},
    ],
)
def test_impossible_space(changes):
    values = {"family": "vit", "widths": [32, 64], "depths": [[2, 4]], "head_dim": 16, **changes}
    with pytest.raises(InputError):
        SearchSpace.from_dict(values)


def test_dict_round_trip(paper_space):
    assert SearchSpace.from_dict(paper_space.to_dict()) == paper_space


def test_kept_blocks_of_the_paper():
    assert kept_blocks(24, 12) == (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 23)
    assert kept_blocks(18, 6) == (0, 3, 6, 10, 13, 17)
    assert kept_blocks(24, 24) == tuple(range(24))
    assert kept_blocks(6, 1) == (0,)
    for full in (8, 18, 24, 36):
        for depth in range(2, full + 1):
            kept = kept_blocks(full, depth)
            assert len(set(kept)) == depth and kept[0] == 0 and kept[-1] == full - 1


def test_probabilities_of_the_paper(paper_space):
    # FACTS: eq. 14 gives ViT-S 1.573 %, ViT-B 0.944 %
    probabilities = paper_space.probabilities()
    assert sum(probabilities.values()) == pytest.approx(1)
    assert probabilities[SubnetSpec.parse("vit-s")] == pytest.approx(9 / 572)
    assert probabilities[SubnetSpec.parse("vit-b")] == pytest.approx(1.8 * 3 / 572)
    assert probabilities[SubnetSpec.parse("vit-l")] == pytest.approx(1 / 572)


def test_draw_is_a_function_of_its_arguments():
    space = SearchSpace("vit", widths=[32, 64], depths=[2, 3], head_dim=16)
    for iteration in range(20):
        assert space.draw(1, iteration) == space.draw(1, iteration, rank=5)
        assert space.draw(1, iteration, 3, "rank") == space.draw(1, iteration, 3, "rank")
    by_rank = [[space.draw(1, i, rank, "rank") for i in range(20)] for rank in range(2)]
    assert by_rank[0] != by_rank[1]
    with pytest.raises(InputError, match="'step'"):
        space.draw(1, 0, mode="epoch")


def test_draw_follows_the_probabilities():
    space = SearchSpace("vit", widths=[32, 64], depths=[2, 3], head_dim=16)
    draws = 8000
    counts = Counter(space.draw(0, iteration) for iteration in range(draws))
    for spec, probability in space.probabilities().items():
        deviation = (probability * (1 - probability) / draws) ** 0.5
        assert counts[spec] / draws == pytest.approx(probability, abs=5 * deviation)


def test_single_values_may_be_given_bare():
    single = SearchSpace("vit", 32, 2, head_dim=16)
    assert [str(spec) for spec in single] == ["vit-w32-d2"]

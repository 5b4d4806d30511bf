"""Controls without training: slices of a network that was trained alone, as it is and in order of importance."""

import pytest
import torch
import torch.nn.functional as F

from poa_bench.cli import main
from poa_bench.elastic import SearchSpace, Supernet, load_supernet, save_subnet
from poa_bench.elastic.importance import importance, put_in_order
from poa_bench.elastic.slices import supernet_around
from poa_bench.errors import InputError
from poa_bench.runs.results import load_results
from tests.downstream.networks import write_checkpoint

OPTIONS = {"image_size": 32, "patch_size": 8, "init_values": 0.5}
ALONE = SearchSpace("vit", widths=(48,), depths=((4,),), head_dim=16)
SMALL = "vit-w16-d2"


@pytest.fixture(scope="module")
def alone(randomised) -> Supernet:
    return randomised(Supernet(ALONE, **OPTIONS)).eval()


@pytest.fixture(scope="module")
def checkpoint(alone, tmp_path_factory) -> str:
    return str(write_checkpoint(alone, tmp_path_factory.mktemp("alone") / "iter_1.pth"))


@pytest.fixture(scope="module")
def images():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def by_hand(network, images, channels, heads, neurons) -> torch.Tensor:
    """The class feature of the network with these channels, heads and neurons of each block only; all blocks."""
    tokens = network.patch_embed(images).flatten(1, 2)
    tokens = torch.cat([network.cls_token.expand(len(images), -1, -1), tokens], dim=1) + network.pos_embed
    tokens = tokens[..., channels]

    def norm(layer, values):
        return F.layer_norm(values, values.shape[-1:], layer.weight[channels], layer.bias[channels], layer.eps)

    for block, kept, count in zip(network.blocks, heads, neurons, strict=True):
        query, key, value = (
            F.linear(norm(block.norm1, tokens), weight[channels_of(kept)][:, channels], bias[channels_of(kept)])
            .unflatten(-1, (len(kept), 16))
            .transpose(1, 2)
            for weight, bias in zip(block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3), strict=True)
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        weight = block.attn.proj.weight[channels][:, channels_of(kept)]
        tokens = tokens + block.ls1.gamma[channels] * F.linear(attended, weight, block.attn.proj.bias[channels])
        hidden = F.gelu(
            F.linear(norm(block.norm2, tokens), block.mlp.fc1.weight[count][:, channels], block.mlp.fc1.bias[count])
        )
        out = F.linear(hidden, block.mlp.fc2.weight[channels][:, count], block.mlp.fc2.bias[channels])
        tokens = tokens + block.ls2.gamma[channels] * out
    return norm(network.norm, tokens)[:, 0]


def channels_of(heads) -> list[int]:
    return [16 * head + place for head in heads for place in range(16)]


@torch.no_grad()
def test_in_order_the_whole_network_computes_the_same(alone, images):
    net = Supernet(ALONE, **OPTIONS).eval()
    net.load_state_dict(alone.state_dict())
    before, found = net(images), importance(net.network, images.split(2))
    put_in_order(net.network, found)
    order = found.channels.argsort(descending=True)
    assert order.tolist() != sorted(order.tolist())
    torch.testing.assert_close(net(images).cls, before.cls[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(images).patches, before.patches[..., order], rtol=1e-4, atol=1e-5)
    ordered = importance(net.network, [images])
    for one in (ordered.channels, *ordered.heads, *ordered.neurons):
        assert one.tolist() == sorted(one.tolist(), reverse=True)


@torch.no_grad()
def test_slices_keep_what_is_most_active(alone, images):
    """A size of the ordered network against the whole one with only these channels, heads and neurons, written out."""
    space = SearchSpace("vit", widths=(16, 48), depths=((4,),), head_dim=16)
    net = Supernet(space, alpha=False, **OPTIONS).eval()
    net.network.load_state_dict(alone.network.state_dict())
    seen: dict[str, list] = {"channels": []}
    for index, block in enumerate(net.network.blocks):
        seen["channels"].append(0)
        for name, module in ((f"h{index}", block.attn.proj), (f"n{index}", block.mlp.fc2), (f"c{index}", block.norm1)):
            module.register_forward_pre_hook(lambda _, inputs, name=name: seen.__setitem__(name, inputs[0].abs()))
    net.network(images)
    channels = sum(seen[f"c{index}"].mean((0, 1)) for index in range(4)).topk(16).indices
    heads = [seen[f"h{index}"].unflatten(-1, (3, 16)).mean((0, 1, 3)).topk(1).indices.tolist() for index in range(4)]
    neurons = [seen[f"n{index}"].mean((0, 1)).topk(64).indices for index in range(4)]
    put_in_order(net.network, importance(net.network, [images]))
    found = net(images, space.parse("vit-w16-d4")).cls
    expected = by_hand(alone.network, images, channels, heads, neurons)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        by_hand(alone.network, images, torch.arange(48), [[0, 1, 2]] * 4, [torch.arange(192)] * 4), alone(images).cls
    )


@torch.no_grad()
@pytest.mark.parametrize("kind", ["checkpoint", "extracted"])
def test_slices_as_trained_are_the_leading_weights(alone, checkpoint, images, tmp_path, kind):
    if kind == "extracted":
        save_subnet(alone, ALONE.intact, tmp_path / "alone.safetensors", "0" * 64)
        checkpoint = str(tmp_path / "alone.safetensors")
    net = supernet_around(checkpoint, [16, 32], [[2]], depth_rule="first")
    assert [str(size) for size in net.space][0] == SMALL and net.space.intact == ALONE.intact
    module = net.extract(net.space.parse(SMALL))
    first, whole = module.blocks[1], alone.network.blocks[1]
    assert torch.equal(first.mlp.fc1.weight, whole.mlp.fc1.weight[:64, :16])
    assert torch.equal(first.attn.qkv.weight[16:32], whole.attn.qkv.weight[48:64, :16])
    assert torch.equal(net(images).cls, alone(images).cls)
    scaled = supernet_around(checkpoint, [16], [[2]], alpha=True)
    assert torch.equal(
        scaled.extract(scaled.space.parse(SMALL)).blocks[1].mlp.fc1.weight[0],
        3 * alone.network.blocks[3].mlp.fc1.weight[0, :16],
    )


def test_command_writes_what_every_other_command_reads(checkpoint, tmp_path, capsys):
    path = str(tmp_path / "sliced.pth")
    command = ["slice", checkpoint, "--widths", "16,32", "--depths", "2", "-o", path]
    assert main([*command, "--order", "importance", "--data", "digits", "--images", "32"]) == 0
    assert "6 sizes, vit-w16-d2 to vit-w48-d4, importance; none was trained" in capsys.readouterr().out
    said = torch.load(path, weights_only=True)["meta"]["objective"]
    assert said["order_images"] == 32 and said["order_data"] == "digits"
    assert (
        main(["evaluate", path, "--data", "digits", "--tasks", "knn", "--specs", SMALL, "-o", str(tmp_path / "r")]) == 0
    )
    (result, *_), _ = load_results(tmp_path / "r")
    assert result.spec == SMALL and result.config["branch"] == "student"
    assert load_supernet(path).space.intact == ALONE.intact


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--widths", "64"], "widths [64]: the network has 48"),
        (["--depths", "2/3"], "2 lists of depths are given"),
        (["--order", "importance"], "belong together"),
        (["--data", "digits"], "belong together"),
    ],
)
def test_what_cannot_be_cut_is_refused(checkpoint, tmp_path, capsys, words, message):
    assert main(["slice", checkpoint, "-o", str(tmp_path / "sliced.pth"), *words]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_other_networks_are_not_put_in_order():
    space = {"family": "resnet", "widths": [16], "depths": [[1], [1]]}
    net = Supernet(space, num_groups=4, channels=[16, 32, 64, 128])
    with pytest.raises(InputError, match="only ViTs"):
        importance(net.network, [])
    with pytest.raises(InputError, match="there are none"):
        importance(Supernet(ALONE, **OPTIONS).network, [])

"""MAE: masks, features, pixels, loss and gradients of an official implementation; narrow encoders; what is refused."""

import pytest
import torch

from poa_bench.elastic import Supernet
from poa_bench.errors import InputError
from poa_bench.pretraining.objectives.mae import MAE
from poa_bench.pretraining.pixels import PixelDecoder, hide, pixel_loss, to_patches
from tests.pretraining.teaching import BACKBONE, numbers
from tests.pretraining.tiny import random_crops

DECODER = {"type": "poa_bench.PixelDecoder", "width": 16, "depth": 2, "heads": 2, "mlp_ratio": 2.0}
OFFICIAL = {
    "type": "poa_bench.Supernet",
    "space": {"family": "vit", "widths": [16, 24], "depths": [[1, 2]], "head_dim": 8},
    "image_size": 32,
    "patch_size": 8,
    "mlp_ratio": 2.0,
}
# of timm's names, what the file calls them
PARTS = {
    "norm1": "ln1",
    "norm2": "ln2",
    "mlp.fc1": "ffn.layers.0.0",
    "mlp.fc2": "ffn.layers.1",
}


def official_name(name: str) -> str:
    """The file's name of a parameter of the student."""
    for ours, theirs in PARTS.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    name = name.replace("backbone.network.blocks.", "backbone.layers.").replace("head.blocks.", "neck.decoder_blocks.")
    name = name.replace("backbone.network.patch_embed.proj", "backbone.patch_embed.projection")
    name = name.replace("backbone.network.norm.", "backbone.ln1.").replace("backbone.network.", "backbone.")
    name = name.replace("head.norm.", "neck.ln1.").replace("head.embed", "neck.decoder_embed")
    return name.replace("head.pixels", "neck.decoder_pred").replace("head.mask_token", "neck.mask_token")


@pytest.fixture
def official() -> tuple[MAE, dict]:
    found = numbers("mae")
    model = MAE(OFFICIAL, DECODER, students="intact").double().train()
    with torch.no_grad():
        for name, parameter in model.student.named_parameters():
            if name != "backbone.mask_token":
                parameter.copy_(found[f"param/{official_name(name)}"])
    table = found["param/neck.decoder_pos_embed"][0, 1:]
    model.student.head._positions[4, 4, torch.device("cpu"), torch.float64] = table
    return model, found


def test_step_is_the_official_one(official):
    model, found = official
    hidden = hide(found["noise"], 0.75)
    assert torch.equal(hidden.visible, found["ids_keep"]) and torch.equal(hidden.restore, found["ids_restore"])
    assert torch.equal(hidden.hidden, found["mask"] == 1)
    output = model.supernet(found["images"]), model.supernet.bind()(found["images"], visible=hidden.visible)
    assert output[0].patches.shape == (3, 16, 24)
    torch.testing.assert_close(torch.cat([output[1].cls[:, None], output[1].patches], dim=1), found["latent"])
    pixels = model.reconstruct(model.supernet.bind(), found["images"], hidden)
    torch.testing.assert_close(pixels, found["pred"])
    loss = pixel_loss(pixels, found["images"], hidden.hidden, 8)
    assert loss.item() == pytest.approx(found["loss"].item(), rel=1e-10)
    loss.backward()
    compared = {
        official_name(name): parameter.grad
        for name, parameter in model.student.named_parameters()
        if f"grad/{official_name(name)}" in found
    }
    assert len(compared) == len([key for key in found if key.startswith(("grad/backbone", "grad/neck"))])
    for name, gradient in compared.items():
        torch.testing.assert_close(gradient, found[f"grad/{name}"], rtol=1e-7, atol=1e-10)


def test_positions_are_the_official_ones(official):
    """But for the order of the channels: sines of both directions come first."""
    _, found = official
    table = PixelDecoder(24, 8, 16, 1, 2).positions((4, 4), torch.empty(1, 1, 16))
    by_direction = table.unflatten(1, (2, 2, 4)).transpose(1, 2).flatten(1)
    torch.testing.assert_close(by_direction, found["decoder_pos_embed"][0, 1:])
    assert not found["decoder_pos_embed"][0, 0].any()


@pytest.mark.parametrize("normalised", [True, False])
def test_loss_of_given_pixels_is_the_official_one(normalised):
    found = numbers("mae")
    pixels = found["given/pred"].clone().requires_grad_()
    loss = pixel_loss(pixels, found["images"], found["mask"] == 1, 8, normalised)
    loss.backward()
    assert loss.item() == pytest.approx(found[f"given/norm_pix_{normalised}/loss"].item(), rel=1e-12)
    torch.testing.assert_close(pixels.grad, found[f"given/norm_pix_{normalised}/grad_pred"])
    torch.testing.assert_close(to_patches(found["images"], 8), found["patches"])


def test_every_size_computes_the_visible_patches_alone():
    """What is hidden may be anything; a whole picture in another order gives the same class feature."""
    torch.manual_seed(0)
    net = Supernet(**{key: value for key, value in BACKBONE.items() if key != "type"}).eval()
    images, visible = torch.randn(2, 3, 32, 32), torch.tensor([[3, 0, 9], [15, 1, 2]])
    for size in (None, net.space.smallest):
        network, other = net.bind(size), images.clone()
        other[0, :, 16:, 24:] = 100.0  # patches 11 and 15 of the first picture
        found = network(images, visible=visible)
        torch.testing.assert_close(network(other, visible=visible), found)
        everything = torch.stack([torch.randperm(16) for _ in range(2)])
        whole, shuffled = network(images), network(images, visible=everything)
        torch.testing.assert_close(shuffled.cls, whole.cls)
        places = everything[..., None].expand(-1, -1, whole.patches.shape[-1])
        torch.testing.assert_close(shuffled.patches, whole.patches.gather(1, places))


def test_loss_falls_and_every_parameter_learns():
    model = MAE(BACKBONE, DECODER, mask_ratio=0.5, lambda_intact=0.7).train()
    model.decide(sizes=(model.supernet.space.smallest,))
    values = model.loss(random_crops(), model.settings)
    expected = 0.7 * values["intact_pixels"] + 0.3 * values["elastic_pixels"]
    assert values["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    values["loss"].backward()
    assert all(one.grad is not None for one in model.student.parameters() if one.requires_grad)


def test_settings_that_are_not_allowed_are_refused():
    with pytest.raises(InputError, match="mask_ratio 1.0: both must lie"):
        MAE(BACKBONE, DECODER, mask_ratio=1.0)
    with pytest.raises(InputError, match="none of 16 patches would be visible"):
        hide(torch.rand(1, 16), 0.95)
    with pytest.raises(InputError, match="width is 18"):
        PixelDecoder(8, 8, 18, 1, 2)
    with pytest.raises(InputError, match="family resnet cannot leave patches out: use one of vit"):
        space = {"family": "resnet", "widths": [16], "depths": [[1], [1]]}
        MAE({"type": "poa_bench.Supernet", "space": space, "num_groups": 4, "channels": [16, 32, 64, 128]}, DECODER)
    model = MAE(BACKBONE, DECODER, students="intact")
    crops = random_crops()._replace(global_crops=torch.randn(8, 3, 36, 32))
    with pytest.raises(InputError, match="36 x 32 pixels: MAE needs multiples"):
        model.loss(crops, model.settings)

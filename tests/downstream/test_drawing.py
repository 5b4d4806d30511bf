"""Drawn pictures: known boxes, masks and maps by hand, principal components by scikit-learn, files by Pillow."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from poa_bench.downstream.drawing import (
    FRAME,
    OPACITY,
    RIGHT,
    SIDE,
    TILE,
    WRONG,
    Objects,
    component_colours,
    depth_colours,
    encoded,
    enlarged,
    fitted,
    framed,
    legend,
    palette,
    principal_components,
    shrunk,
    with_label_map,
    with_objects,
)
from poa_bench.errors import InputError
from poa_bench.runs.galleries import PICTURE_BYTES

DRAW = np.random.default_rng(0)
GREY = torch.full((3, SIDE, SIDE), 100, dtype=torch.uint8)
RED, BLUE = (200, 0, 0), (0, 0, 200)


def changed(picture):
    return (picture != 100).any(0)


def test_a_box_has_its_colour_and_the_rest_of_the_picture_is_as_it_was():
    boxes = torch.tensor([[10.0, 20.0, 50.0, 60.0]])
    drawn = with_objects(GREY, Objects(boxes, torch.tensor([1])), [RED, BLUE])
    edge = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    edge[20:61, 10:51] = True
    edge[21:60, 11:50] = False
    assert torch.equal(changed(drawn), edge)
    assert drawn[:, 20, 30].tolist() == list(BLUE)


def test_boxes_and_masks_are_scaled_with_the_picture():
    large = torch.full((3, 2 * SIDE, SIDE), 100, dtype=torch.uint8)  # shown at half its size
    masks = torch.zeros(1, 2 * SIDE, SIDE, dtype=torch.bool)
    masks[0, 40:80, 20:60] = True
    boxes = torch.tensor([[20.0, 40.0, 60.0, 80.0]])
    drawn = with_objects(large, Objects(boxes, torch.tensor([0]), masks), [RED])
    assert drawn.shape == (3, SIDE, SIDE // 2)
    inside = torch.zeros(SIDE, SIDE // 2, dtype=torch.bool)
    inside[20:41, 10:31] = True
    assert torch.equal(changed(drawn), inside)
    expected = [(1 - OPACITY) * 100 + OPACITY * part for part in RED]
    assert drawn[:, 30, 20].tolist() == pytest.approx(expected, abs=1)


def test_no_object_leaves_the_picture_and_boxes_outside_are_drawn_at_its_edge():
    nothing = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    assert torch.equal(with_objects(GREY, nothing, [RED]), GREY)
    outside = Objects(torch.tensor([[-10.0, -10.0, 500.0, 500.0]]), torch.tensor([0]))
    drawn = with_objects(GREY, outside, [RED])
    assert changed(drawn)[[0, -1]].all() and changed(drawn)[:, [0, -1]].all() and not changed(drawn)[1:-1, 1:-1].any()


def test_label_maps_have_the_colours_of_classes_and_unknown_pixels_show_the_picture():
    labels = torch.full((SIDE // 2, SIDE // 2), 255)  # a file of another size than the picture
    labels[:10], labels[10:20] = 0, 1
    drawn = with_label_map(GREY, labels, [RED, BLUE]).int()
    for rows, colour in ((slice(0, 20), RED), (slice(20, 40), BLUE)):
        expected = torch.tensor([(1 - OPACITY) * 100 + OPACITY * part for part in colour]).view(3, 1, 1)
        assert (drawn[:, rows] - expected).abs().max() <= 1
    assert (drawn[:, 40:] == 100).all()
    assert torch.equal(with_label_map(GREY, shrunk(torch.full((900, 900), 255)), [RED]), GREY)


def test_neighbours_stand_row_by_row_in_frames_of_their_colour():
    pictures = [torch.full((3, 8, 8), 40 * place, dtype=torch.uint8) for place in range(4)]
    drawn = framed(pictures, [RIGHT, WRONG, RIGHT, WRONG])
    side = TILE + 2 * FRAME + 1
    assert drawn.shape == (3, 2 * side + 1, 3 * side + 1)
    for place, colour in enumerate((RIGHT, WRONG, RIGHT, WRONG)):
        top, left = 1 + side * (place // 3), 1 + side * (place % 3)
        assert tuple(drawn[:, top, left].tolist()) == colour
        middle = drawn[:, top + FRAME : top + FRAME + TILE, left + FRAME : left + FRAME + TILE]
        assert (middle == 40 * place).all()


def test_components_are_scikit_learns_up_to_the_sign_rule():
    maps = [torch.from_numpy(DRAW.normal(size=(5, 6, 20)) * np.arange(1, 21)) for _ in range(3)]
    rows = torch.cat([map_.flatten(0, 1) for map_ in maps]).numpy()
    judge = PCA(3, svd_solver="full").fit(rows)
    signs = np.sign(judge.components_[np.arange(3), np.abs(judge.components_).argmax(1)])
    expected = judge.transform(rows) * signs  # the weight of largest magnitude is positive
    np.testing.assert_allclose(principal_components(rows), expected, atol=1e-8)
    low, high = expected.min(0), expected.max(0)
    colours = np.round(255 * (expected - low) / (high - low))
    found = component_colours([map_.float() for map_ in maps])
    assert [each.shape for each in found] == [(3, 5, 6)] * 3
    flat = np.concatenate([each.permute(1, 2, 0).flatten(0, 1).numpy() for each in found])
    assert np.abs(flat - colours).max() <= 1  # float32 features
    assert {0, 255} <= set(flat[:, 0])


def test_components_that_are_not_there_are_grey():
    line = torch.arange(6.0).view(2, 3, 1) * torch.tensor([1.0, -2.0])
    (found,) = component_colours([line])  # two features on one line
    assert found[0].flatten().tolist() == [255, 204, 153, 102, 51, 0]  # the largest weight, -2, counts positive
    assert (found[1:] == 128).all()
    (equal,) = component_colours([torch.ones(2, 3, 8)])
    assert (equal == 128).all()


def test_patches_are_squares_where_they_are_in_the_picture():
    colours = torch.tensor([[0, 90], [180, 255]], dtype=torch.uint8).expand(3, 2, 2)
    picture = torch.zeros(3, SIDE, SIDE * 3 // 4, dtype=torch.uint8)
    drawn = enlarged(colours, SIDE // 2, picture)  # the right column of patches hangs over
    assert drawn.shape == picture.shape
    assert (drawn[0, :72, :72] == 0).all() and (drawn[0, :72, 72:] == 90).all() and (drawn[0, 72:, 72:] == 255).all()


def test_depths_run_from_blue_to_yellow_and_unknown_is_grey():
    depths = torch.tensor([[1.0, 3.0, 0.0, 9.0]]).repeat_interleave(SIDE // 4, 1).expand(SIDE, SIDE)
    drawn = depth_colours(depths, 1.0, 3.0)
    import matplotlib

    near, far = (
        tuple(round(255 * part) for part in matplotlib.colormaps["viridis"](share)[:3]) for share in (0.0, 1.0)
    )
    found = [tuple(drawn[:, 5, place].tolist()) for place in (5, SIDE // 4 + 5, SIDE // 2 + 5, SIDE - 5)]
    assert np.abs(np.array(found) - [near, far, (128,) * 3, far]).max() <= 2


def test_encoded_pictures_are_webp_of_limited_size():
    noise = torch.from_numpy(DRAW.integers(256, size=(3, SIDE, SIDE), dtype=np.uint8))
    assert len(encoded(noise)) <= PICTURE_BYTES
    smooth = torch.arange(SIDE, dtype=torch.uint8).expand(3, SIDE, SIDE)
    with Image.open(io.BytesIO(encoded(smooth))) as image:
        assert (image.format, image.size) == ("WEBP", (SIDE, SIDE))
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - smooth.permute(1, 2, 0).numpy()).max() < 12
    with pytest.raises(InputError, match="900 x 900 px has .* make it smaller"):
        encoded(torch.from_numpy(DRAW.integers(256, size=(3, 900, 900), dtype=np.uint8)))
    assert fitted(torch.zeros(3, 40, 30, dtype=torch.uint8)).shape == (3, SIDE, round(0.75 * SIDE))


def test_palettes_are_the_data_sets_own_or_colours_that_differ():
    assert palette(2, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]) == [(1, 2, 3), (4, 5, 6)]
    made = np.array(palette(20, [[1, 2, 3]]))
    apart = np.abs(made[:, None] - made[None]).sum(-1) + 999 * np.eye(20)
    assert apart.min() > 30
    assert legend([1, 1, 0, 255], ["cat", "dog"], [RED, BLUE]) == {"cat": "#c80000", "dog": "#0000c8"}

"""Galleries of frozen patches: what heads predict and components of patches, of the pictures that were asked for."""

import io

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA

from poa_bench.downstream.drawing import SIDE, fitted, with_label_map
from poa_bench.downstream.label_maps import LabelMaps
from poa_bench.downstream.patch_galleries import GRID, KeptPictures, components, predicted_maps
from poa_bench.downstream.patch_maps import pixel_extractor
from poa_bench.downstream.scenes import IGNORE
from poa_bench.runs.galleries import handful
from tests.downstream.test_patches import CLASSES, of_colours, passing, scenes

COUNT, STRIDE = 9, 8
PALETTE = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def kept_pictures(heads, sizes=("pixels",)):
    kept, split = KeptPictures(handful(COUNT)), scenes(count=COUNT)
    work = passing({size: pixel_extractor() for size in sizes})
    work.compare(split, dict.fromkeys(sizes, heads), kept=kept)
    return kept, split


def pixels(picture):
    with Image.open(io.BytesIO(picture.data)) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).int()


def test_the_handful_is_kept_with_what_heads_predict_and_is_the_same_for_all_sizes():
    heads = {"colours": of_colours, "red": lambda rows: torch.eye(3)[[0] * len(rows)]}
    kept, split = kept_pictures(heads, ("a", "b"))
    assert sorted(kept.scenes) == handful(COUNT) == [1, 3, 5, 7]
    assert [sorted(of_size) for of_size in kept.maps.values()] == [handful(COUNT)] * 2
    for position, found in kept.predicted["a", "colours"].items():
        truth = split[position].truth
        assert found.shape == truth.shape
        assert (found[truth != IGNORE] == truth[truth != IGNORE]).float().mean() > 0.7  # the head reads colours
        assert torch.equal(found, kept.predicted["b", "colours"][position])
    assert all((each == 0).all() for each in kept.predicted["a", "red"].values())


def test_label_maps_are_those_of_annotation_and_head(monkeypatch):
    kept, split = kept_pictures({"colours": of_colours})
    monkeypatch.setattr(type(split.dataset), "metainfo", {"classes": split.classes, "palette": PALETTE})
    gallery = predicted_maps(kept, "pixels", "colours", split)
    assert [row.name for row in gallery.rows] == [f"test picture {place}" for place in handful(COUNT)]
    for row, position in zip(gallery.rows, handful(COUNT), strict=True):
        picture, truth = split[position]
        found = kept.predicted["pixels", "colours"][position]
        for drawn, map_ in ((row.truth, truth), (row.found, found)):
            expected = with_label_map(picture, map_, PALETTE).int()
            assert (pixels(drawn) - expected).abs().float().mean() < 6  # what WebP changes
        assert list(row.found.legend) == [split.classes[number] for number in found.unique()]
        assert row.found.legend["red"] == "#ff0000" and max(pixels(row.found).shape) == SIDE


def test_components_are_scikit_learns_of_all_pictures_together():
    kept, split = kept_pictures({})
    gallery = components(kept, "pixels", STRIDE)
    maps = [kept.maps["pixels"][place][0] for place in handful(COUNT)]
    rows = np.concatenate([map_.flatten(0, 1).numpy() for map_ in maps]).astype(float)
    judge = PCA(3, svd_solver="full").fit(rows)
    signs = np.sign(judge.components_[np.arange(3), np.abs(judge.components_).argmax(1)])
    scores = judge.transform(rows) * signs
    colours = 255 * (scores - scores.min(0)) / (scores.max(0) - scores.min(0))
    start = 0
    for row, map_, position in zip(gallery.rows, maps, handful(COUNT), strict=True):
        picture = split[position].picture
        assert (pixels(row.truth) - fitted(picture).int()).abs().float().mean() < 6
        found, (height, width) = pixels(row.found).float(), map_.shape[:2]
        scale = SIDE / max(picture.shape[1:])
        own = colours[start : start + height * width].reshape(height, width, 3)
        start += height * width
        for line, column in ((0, 0), (1, 1), (0, width - 2)):  # whole patches, looked at in their middle
            y, x = (int((place + 0.5) * STRIDE * scale) for place in (line, column))
            assert np.abs(found[:, y, x].numpy() - own[line, column]).max() < 40, (position, line, column)


def test_large_maps_are_thinned_out_evenly():
    kept = KeptPictures([0])
    scene = scenes()[0]
    map_ = torch.arange(3 * GRID * 10).view(3 * GRID, 10, 1).float()
    kept.see("size", [(0, scene), (1, scene)], [map_, map_])
    found, step = kept.maps["size"][0]
    assert step == 3 and found.shape == (GRID, 4, 1) and torch.equal(found[:, 0], map_[::3, 0])
    assert list(kept.maps["size"]) == [0]


def test_decisions_are_the_largest_class_and_the_depth():
    from poa_bench.downstream.depth import DepthMaps

    scores = torch.tensor([[[0.1, 0.9]], [[0.5, 0.2]], [[0.4, 0.1]]])
    assert LabelMaps(CLASSES).decided(scores).tolist() == [[1, 0]]
    assert torch.allclose(DepthMaps().decided(torch.tensor([[[2.0, 3.0]]]).log()), torch.tensor([[2.0, 3.0]]))

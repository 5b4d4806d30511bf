"""Which patches are kept, what a pass over pictures gives, and that neither memory nor a failing size changes it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from poa_bench.downstream import scenes as scenes_module
from poa_bench.downstream.features import Place
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.label_maps import LabelMaps
from poa_bench.downstream.patch_maps import PatchExtractor, pixel_extractor
from poa_bench.downstream.patches import PatchPass, View
from poa_bench.downstream.scenes import IGNORE, Scenes
from poa_bench.errors import InputError

CLASSES = 3
COLOURS = torch.tensor([[200, 40, 40], [40, 200, 40], [40, 40, 200]], dtype=torch.uint8)
EVALUATION = EvaluationData(
    "colours", {}, {}, truth="label_maps", image_size=16, mean=(120.0,) * 3, std=(60.0,) * 3, interpolation="bicubic"
)


@dataclass
class Colours:
    """Pictures of coloured rectangles, each class a colour, as mmseg's data sets give them."""

    count: int = 6
    seed: int = 0
    metainfo = {"classes": ("red", "green", "blue")}

    def __len__(self):
        return self.count

    def __getitem__(self, position):
        draw = np.random.default_rng([self.seed, position])
        height, width = draw.integers(18, 40, 2)
        truth = np.zeros((height, width), np.uint8)
        for label in (1, 2):
            top, left = draw.integers(0, 12, 2)
            truth[top : top + 14, left : left + 14] = label
        truth[-3:] = IGNORE
        picture = COLOURS.numpy()[np.where(truth == IGNORE, 0, truth)]
        noisy = picture + draw.normal(0, 10, picture.shape)
        return {
            "img": noisy.clip(0, 255).astype(np.uint8)[..., ::-1],
            "gt_seg_map": truth,
            "img_path": f"{position}.png",
        }


def scenes(split: str = "train", data: EvaluationData = EVALUATION, **options) -> Scenes:
    dataset = Colours(**options)
    return Scenes(data, split, dataset, dataset.metainfo["classes"])


EVERYTHING = View(8, False, 2, 1000)


def passing(extractors=None, view: View = EVERYTHING) -> PatchPass:
    return PatchPass(extractors or {"pixels": pixel_extractor()}, view, LabelMaps(CLASSES), Place())


def test_all_patches_of_which_something_is_known():
    found = passing().sample(scenes(), 0)["pixels"]
    place = 0
    for position, (picture, truth) in enumerate(scenes()[each] for each in range(6)):
        of_picture = found.pictures == position
        rows, columns = -(-picture.shape[1] // 8), -(-picture.shape[2] // 8)
        known = [
            (row, column)
            for row in range(rows)
            for column in range(columns)
            if (truth[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] != IGNORE).any()
        ]
        assert of_picture.sum() == len(known)
        for (row, column), features in zip(known, found.features[of_picture], strict=True):
            inside = (picture[:, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].float() - 120) / 60
            full = torch.zeros(3, 8, 8)
            full[:, : inside.shape[1], : inside.shape[2]] = inside
            torch.testing.assert_close(features.sort().values, full.flatten().sort().values)
        place += len(known)
    assert place == len(found.features) == len(found.targets)


def test_few_patches_are_drawn_by_the_seed_alike_for_all_sizes():
    view = View(8, False, 0, 12)  # two of each of the six pictures
    twice = {name: pixel_extractor() for name in "ab"}
    found = passing(twice, view).sample(scenes(), 3)
    assert torch.equal(found["a"].features, found["b"].features) and found["a"].pictures.bincount().tolist() == [2] * 6
    alone = passing(view=view).sample(scenes(data=replace(EVALUATION, batch_size=16)), 3)["pixels"]
    assert torch.equal(alone.features, found["a"].features), "one picture at a time"
    other = passing(view=view).sample(scenes(), 4)["pixels"]
    assert not torch.equal(other.features, found["a"].features)
    everything = passing(view=replace(view, patches=1000)).sample(scenes(), 3)["pixels"]
    assert all((everything.features == row).all(1).any() for row in alone.features)
    one_each = passing(view=View(8, False, 0, 2)).sample(scenes(), 0)["pixels"]
    assert len(one_each.features) == 6, "at least one of each picture"


def of_colours(features: torch.Tensor) -> torch.Tensor:
    """The strongest of the three colours of raw pixels of 8 x 8 patches."""
    return features.view(len(features), 3, 64).mean(2)


@pytest.mark.parametrize("kept", [True, False])
def test_predicted_maps_of_all_pictures_in_order(kept, monkeypatch):
    if not kept:
        monkeypatch.setattr(scenes_module, "IN_MEMORY_BYTES", 10)
    split, work = scenes(count=37, data=replace(EVALUATION, batch_size=64)), passing()
    heads = {"pixels": {"colours": of_colours, "red": lambda rows: torch.eye(3)[[0] * len(rows)]}}
    for _ in range(2):  # read, and where they are kept from memory
        found = work.compare(split, heads)
        assert found["pixels", "red"].shape == (37, 3, CLASSES)
        for position, (row, guess) in enumerate(zip(found["pixels", "red"], found["pixels", "colours"], strict=True)):
            labels = split[position].truth
            counts = labels[labels != IGNORE].bincount(minlength=3).tolist()
            assert row.tolist() == [[counts[0], 0, 0], [sum(counts), 0, 0], counts]
            assert guess[0].sum() > 0.7 * sum(counts)
        some = work.compare(split, heads, [3, 30])["pixels", "colours"]
        assert np.array_equal(some, found["pixels", "colours"][[3, 30]])
    assert bool(split._kept) is kept


def test_maps_are_resized_as_mmseg_resizes_them():
    """A picture of 20 x 28 in patches of 8: to 24 x 32 and cropped, then to the label map's 40 x 56."""
    resize = pytest.importorskip("mmseg.models.utils", reason="needs the dense extra").resize
    scores = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0))
    scene = scenes_module.Scene(torch.zeros(3, 20, 28, dtype=torch.uint8), torch.zeros(40, 56, dtype=torch.long))
    found = passing()._full_size(scores, scene, 8)
    whole = resize(scores.permute(2, 0, 1)[None], (24, 32), mode="bilinear", align_corners=False)
    expected = resize(whole[..., :20, :28], (40, 56), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(found, expected)


def test_a_size_that_fails_does_not_end_the_others():
    def broken(images):
        raise RuntimeError("out of memory")

    pixels = pixel_extractor()
    work = passing({"broken": PatchExtractor(broken, 8, 8, 192), "pixels": pixels})
    assert set(work.sample(scenes(), 0)) == {"pixels"} and "out of memory" in str(work.failures["broken"])
    assert set(work.compare(scenes(), {"pixels": {"colours": of_colours}})) == {("pixels", "colours")}
    work = passing({"a": pixels, "b": pixels})
    found = work.compare(scenes(), {"a": {"head": broken}, "b": {"head": of_colours}})
    assert set(found) == {("b", "head")} and set(work.failures) == {"a"}


def test_maps_that_are_wrong_are_named(monkeypatch):
    monkeypatch.setattr(Colours, "metainfo", {"classes": ("red", "green")})
    with pytest.raises(InputError, match=r"0.png has the value 2: it must have one number per pixel, 0 to 1 or 255"):
        scenes()[0]
    item = Colours()[0]
    monkeypatch.setattr(
        Colours, "__getitem__", lambda self, position: item | {"gt_seg_map": item["gt_seg_map"][1:] * 0}
    )
    with pytest.raises(InputError, match="they must be equal"):
        scenes()[0]
    nothing = {**item, "gt_seg_map": np.full_like(item["gt_seg_map"], IGNORE)}
    monkeypatch.setattr(Colours, "__getitem__", lambda self, position: nothing)
    with pytest.raises(InputError, match="nothing is known of any pixel of colours's train split"):
        passing().sample(scenes(), 0)

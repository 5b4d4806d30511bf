"""The embedded data: splits by scan, determinism, safe caching, masks, boxes and semantic maps that agree."""

import json
import multiprocessing

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS
from sklearn.neighbors import KNeighborsClassifier

from poa_bench.datasets import cache, digits, scenes
from poa_bench.datasets.cache import build_once
from poa_bench.errors import InputError


def test_no_scan_is_in_two_splits_and_none_is_lost():
    ids = [digits.scans(split).ids for split in digits.SPLITS]
    assert sorted(np.concatenate(ids)) == list(range(1797))
    shown = [set(digits._load(split)["scans"]) for split in digits.SPLITS]
    assert [len(s) for s in shown] == [len(i) for i in ids]
    assert not (shown[0] & shown[1] or shown[0] & shown[2] or shown[1] & shown[2])


def test_pictures_carry_the_label_of_their_scan():
    for split in digits.SPLITS:
        images, labels = digits.classification_arrays(split)
        assert images.shape == (len(labels), 32, 32, 3) and images.dtype == np.uint8 and labels.dtype == np.int64
        source = digits.scans(split)
        label_of = dict(zip(source.ids, source.labels, strict=True))
        assert [label_of[scan] for scan in digits._load(split)["scans"]] == labels.tolist()
        assert np.bincount(labels).min() > 0.08 * len(labels)


def test_raw_pixels_do_not_solve_it():
    (train, labels), (test, expected) = digits.classification_arrays("train"), digits.classification_arrays("test")
    neighbours = KNeighborsClassifier(20, weights="distance", algorithm="brute")
    neighbours.fit(train[::2].reshape(-1, 3072) / 255, labels[::2])
    assert 0.3 < neighbours.score(test[::3].reshape(-1, 3072) / 255, expected[::3]) < 0.65


def test_a_picture_depends_on_its_seed_alone():
    source, (images, _) = digits.scans("val"), digits.classification_arrays("val")
    rngs = np.random.default_rng([digits.VERSION, 1]).spawn(len(images))
    redrawn = digits._draw_picture(100 // digits.VARIANTS["val"], source, rngs[100])
    assert np.abs(redrawn.astype(int) - images[100]).max() <= 1


def _draw_scenes(folder, barrier, queue):
    """Make a few scenes at the same moment as another process does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POA_BENCH_CACHE", folder)
        patch.setattr(scenes, "SCENES", {"train": 3, "val": 2, "dev": 2})
        barrier.wait()
        queue.put(str(scenes.scenes_folder()))


def test_two_processes_at_once_make_one_whole_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(2), context.Queue()
    pair = [context.Process(target=_draw_scenes, args=(str(tmp_path), barrier, queue)) for _ in range(2)]
    for process in pair:
        process.start()
    folders = {queue.get(timeout=60) for _ in pair}
    for process in pair:
        process.join()
    assert folders == {str(tmp_path / f"digits-v{digits.VERSION}/scenes-with-dev")}
    assert [p.name for p in tmp_path.glob("*/*")] == ["scenes-with-dev"]  # and no temporary folder
    written = cv2.imread(str(next(tmp_path.rglob("semantic/val/000001.png"))), cv2.IMREAD_UNCHANGED)
    _, semantic, _ = scenes.draw_scene(digits.scans("test"), np.random.default_rng([digits.VERSION, 101]).spawn(2)[1])
    assert (written == semantic).all()


def test_a_failed_build_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("POA_BENCH_CACHE", str(tmp_path))

    def fail(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("out of power")

    with pytest.raises(RuntimeError):
        build_once("thing", fail)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_cache_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POA_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set POA_BENCH_CACHE to a folder that can"):
        build_once("thing", lambda folder: None)
    assert cache.cache_folder() == tmp_path / "file"


def decode(lengths: dict) -> np.ndarray:
    values = np.arange(len(lengths["counts"])) % 2
    return np.repeat(values, lengths["counts"]).reshape(lengths["size"], order="F").astype(bool)


def test_run_lengths_of_a_hand_made_mask():
    mask = np.array([[1, 0, 0], [1, 1, 0]], bool)
    assert scenes.run_lengths(mask) == {"size": [2, 3], "counts": [0, 2, 1, 1, 2]}
    assert scenes.run_lengths(np.zeros((2, 2), bool)) == {"size": [2, 2], "counts": [4]}
    for seed in range(20):
        mask = np.random.default_rng(seed).random((5, 7)) < 0.5
        assert (decode(scenes.run_lengths(mask)) == mask).all()


@pytest.mark.parametrize("split", scenes.SCANS_OF)
def test_scene_files_agree_with_each_other(split):
    folder = scenes.scenes_folder()
    coco = json.loads((folder / f"instances_{split}.json").read_text())
    assert len(coco["images"]) == scenes.SCENES[split] == len(list((folder / "images" / split).iterdir()))
    assert {a["category_id"] for a in coco["annotations"]} == set(range(1, 11))
    assert len(coco["annotations"]) > 2 * len(coco["images"])
    for image in coco["images"][:20]:
        name = image["file_name"].removesuffix(".jpg")
        semantic = cv2.imread(str(folder / f"semantic/{split}/{name}.png"), cv2.IMREAD_UNCHANGED)
        assert semantic.shape == cv2.imread(str(folder / f"images/{split}/{name}.jpg")).shape[:2] == (128, 128)
        assert set(np.unique(semantic)) <= {*range(11), scenes.IGNORE}
        for annotation in (a for a in coco["annotations"] if a["image_id"] == image["id"]):
            mask = decode(annotation["segmentation"])
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y, width, height = annotation["bbox"]
            assert (x, y, x + width - 1, y + height - 1) == (columns[0], rows[0], columns[-1], rows[-1])
            assert annotation["area"] == mask.sum() > 30
            assert set(np.unique(semantic[mask])) <= {annotation["category_id"], scenes.IGNORE}
    objects = json.loads((folder / f"objects_{split}.json").read_text())
    assert objects["categories"] == [{"id": 1, "name": "digit"}]
    assert objects["annotations"] == [a | {"category_id": 1} for a in coco["annotations"]]


def test_registered_classification():
    data = DATASETS.build(dict(type="poa_bench.DigitsClassification", split="val", indices=5))
    images, labels = digits.classification_arrays("val")
    item = data[3]
    assert (len(data), item["label"], item["name"]) == (5, labels[3], "digits/val/3")
    assert (item["inputs"].permute(1, 2, 0).numpy() == images[3]).all()
    assert data.metainfo["classes"] == digits.CLASSES


def test_unknown_split_is_named():
    with pytest.raises(InputError, match="'dev' of the digits; use one of train, val, test"):
        DATASETS.build(dict(type="poa_bench.DigitsClassification", split="dev"))

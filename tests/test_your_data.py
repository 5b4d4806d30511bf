"""The page on own data is true: its commands are run as they stand, in order, on small data of the same layout."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from poa_bench.config_files import building_blocks, read_config
from poa_bench.elastic import SearchSpace, Supernet
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.runs.results import load_results
from tests.conftest import REPOSITORY
from tests.downstream.networks import write_checkpoint

PAGE = (REPOSITORY / "docs" / "your-data.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.S | re.M)
# what makes the page's commands quick; each must be on the page
SHORTER = {
    "max_iters=1000": "max_iters=2",
    "max_iters=500": "max_iters=2",
    "(640, 480)": "(128, 96)",
    "(224, 224)": "(64, 64)",
    "model.backbone.spec=vit-w96-d2": "model.backbone.spec=vit-w64-d2",
}
pytest.importorskip("mmdet")
pytest.importorskip("mmseg")


def commands() -> list[str]:
    text = "\n".join(BLOCKS)
    assert not [words for words in SHORTER if words not in text]
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return re.split(r"\n(?=poa-bench|mim|cat)", text.strip())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's folders: cells, pets, breeds, and a checkpoint of two sizes built as the paper's."""
    folder = tmp_path_factory.mktemp("mine")
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        _cells(folder / "cells", split, draw)
        _pets(folder / "pets", split, draw)
        for label, breed in enumerate(("cat", "dog")):
            for number in range(12):  # k-NN asks for 20 neighbours
                shade = np.full((40, 40, 3), 60 + 100 * label, np.uint8) + draw.integers(0, 40, (40, 40, 3), np.uint8)
                _save(shade, folder / "breeds" / split / breed / f"{number}.png")
    (folder / "work_dirs" / "mine").mkdir(parents=True)
    torch.manual_seed(0)
    supernet = Supernet(SearchSpace("vit", widths=[64], depths=[2, 3], head_dim=64), img_size=224, init_values=1e-5)
    supernet.preprocessing = Preprocessing(image_size=32)
    write_checkpoint(supernet, folder / "work_dirs" / "mine" / "iter_1000.pth")
    return folder


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _cells(folder: Path, split: str, draw: np.random.Generator) -> None:
    coco = {"images": [], "annotations": [], "categories": []}
    coco["categories"] = [{"id": i, "name": name} for i, name in enumerate(("Platelets", "RBC", "WBC"), 1)]
    for number in range(1, 5):
        pixels = draw.integers(0, 50, (96, 128, 3), np.uint8)
        x, y = (int(value) for value in draw.integers(0, 60, 2))
        pixels[y : y + 32, x : x + 32, number % 3] += 200
        _save(pixels, folder / "images" / f"{split}{number}.jpg")
        coco["images"].append({"id": number, "file_name": f"{split}{number}.jpg", "width": 128, "height": 96})
        box = {"bbox": [x, y, 32, 32], "area": 1024, "iscrowd": 0, "category_id": number % 3 + 1}
        coco["annotations"].append({"id": number, "image_id": number, **box})
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(coco))


def _pets(folder: Path, split: str, draw: np.random.Generator) -> None:
    for number in range(8):
        pixels = draw.integers(0, 50, (80, 64, 3), np.uint8)
        label = np.zeros((80, 64), np.uint8)
        label[20:60, 16:48] = number % 4
        pixels[20:60, 16:48] += np.uint8(50 * (number % 4))
        _save(pixels, folder / "images" / split / f"{number}.jpg")
        _save(label, folder / "masks" / split / f"{number}.png")


def _bash(command: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)


def test_configs_and_data_pass_the_check(folder):
    for command in commands():
        if command.startswith(("cat", "poa-bench check-data")):
            done = _bash(command, folder)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    for name, classes in (("cells.py", 3), ("pets.py", 4)):
        config = read_config(folder / name)
        heads = [config.model.roi_head.bbox_head] if "roi_head" in config.model else [config.model.decode_head]
        assert [head.num_classes for head in heads] == [classes]


@pytest.mark.slow  # about four minutes: 10 dense runs
def test_every_command_of_the_page_works(folder):
    for command in commands():
        done = _bash(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    results = load_results(folder / "results" / "sweep_mine")[0]
    measured = {(result.task, result.spec, result.initialisation) for result in results}
    for task in ("detection", "segmentation"):
        assert {(spec, start) for kind, spec, start in measured if kind == task} == {
            (spec, start) for spec in ("vit-w64-d2", "vit-w64-d3") for start in ("pretrained", "random")
        }
    columns = (folder / "reports" / "mine" / "results_wide.csv").read_text().splitlines()[0]
    names = ["detection bbox_mAP", "WBC_AP", "segmentation mIoU", "knn top1", "linear top1"]
    for column in [*names, "patch-knn mIoU", "patch-linear mIoU"]:
        assert column in columns


def test_building_blocks_of_the_page_exist():
    table = PAGE.split("## Building blocks")[1]
    named = set(re.findall(r"`([a-z0-9]+_[a-z0-9_]+)`", table))
    assert len(named) > 10 and named <= {name.removesuffix(".py") for name in building_blocks()}

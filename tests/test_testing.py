"""The page on testing is true: its commands and its Python are run as they stand, in order."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.runner import save_checkpoint

from poa_bench.config_files import find_config, read_config
from poa_bench.datasets.scenes import scenes_folder
from tests.conftest import REPOSITORY
from tests.downstream.trained import measured, train

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")
pytest.importorskip("mmpretrain")

PAGE = (REPOSITORY / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", PAGE, flags=re.S | re.M)
COMMANDS = [one for kind, text in BLOCKS if kind == "bash" for one in re.split(r"\n(?=mim)", text.strip())]
SPEC = "model.backbone.spec=vit-w144-d4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's three checkpoints, of short trainings, with the number that each training measured; and pictures."""
    folder = tmp_path_factory.mktemp("page")
    everything = [f"{split}_dataloader.dataset.indices=150" for split in ("train", "val")]
    for library, name, iterations in (("mmdet", "detector", 100), ("mmseg", "segmentor", 30)):
        path = train(library, folder / name, SPEC, *everything, iterations=iterations)
        path.rename(folder / f"{name}.pth")
    _classifier(folder)
    (folder / "pictures").mkdir()
    cv2.imwrite(str(folder / "pictures/one.jpg"), cv2.imread(str(scenes_folder() / "images/val/000001.jpg")))
    return folder


def _classifier(folder: Path) -> None:
    """Untrained, and eight pictures of the 1000 classes of `data/imagenet`."""
    from mmpretrain import get_model

    config = read_config("finetune_vit-s_imagenet.py", {"model.backbone.spec": "vit-w448-d6"})
    classes = tuple(f"n{number:04d}" for number in range(1000))
    state = {"state_dict": get_model(config).state_dict(), "meta": {"dataset_meta": {"classes": classes}}}
    save_checkpoint(state, str(folder / "classifier.pth"))
    for name in classes:
        (folder / "data/imagenet/val" / name).mkdir(parents=True)
    for name in classes[:8]:
        picture = np.full((40, 40, 3), int(name[1:]) % 200, np.uint8)
        cv2.imwrite(str(folder / "data/imagenet/val" / name / "x.jpg"), picture)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def outputs(folder) -> dict[str, str]:
    """What each command of the page has said."""
    said = {}
    for command in COMMANDS:
        done = run(["bash", "-ec", command], folder)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        said[command] = done.stdout + done.stderr
    return said


def number(text: str, name: str) -> float:
    return float(re.findall(rf"{name}: ([\d.]+)", text)[-1])


@pytest.mark.slow  # with the next ones nine minutes on two busy cores: two trainings, twelve processes
def test_every_command_works_and_gives_the_number_of_the_training(folder, outputs):
    scores = {"detector": ("coco/bbox_mAP", 0.0), "segmentor": ("mIoU", 0.0)}
    for name, (metric, least) in scores.items():
        (trained,) = measured(folder / name, metric)
        assert trained > least
        plain = [text for command, text in outputs.items() if f"{name}.pth" in command and "--tta" not in command]
        assert [number(text, metric) for text in plain] == [trained] * 2
    augmented = [text for command, text in outputs.items() if "segmentor.pth" in command and "--tta" in command]
    assert len({number(text, "mIoU") for text in augmented}) == 1
    assert len(list((folder / "maps").glob("*.png"))) == 150
    assert len(list((folder / "tested").glob("*/drawn/*.jpg"))) == 150
    assert list((folder / "drawn").rglob("*.png")) and (folder / "classes.pkl").is_file()


@pytest.mark.slow
def test_all_of_its_python_works_and_pycocotools_agrees(folder, outputs):
    said, snippets = [], [text for kind, text in BLOCKS if kind == "python"]
    alone = [text for text in snippets if "mmpretrain" in text]
    for text in ("\n".join(text for text in snippets if text not in alone), *alone):
        done = run([sys.executable, "-c", text], folder)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    judged = float(re.search(r"IoU=0.50:0.95 \| area=   all \| maxDets=100 \] = ([\d.]+)", said[0])[1])
    assert judged == pytest.approx(measured(folder / "detector", "coco/bbox_mAP")[0], abs=0.0011)
    for name in ("vis/one.jpg", "preds/one.json", "pred"):
        assert (folder / "found" / name).exists()
    assert json.loads((folder / "found/preds/one.json").read_text()).keys() >= {"labels", "scores", "bboxes"}


@pytest.mark.slow
def test_a_forgotten_size_is_the_sentence_of_the_page(folder):
    (sentence,) = re.findall(r"^```text\n(.*?)\n```", PAGE, flags=re.S | re.M)
    for package in ("mmdetection", "poa_bench"):
        command = ["mim", "test", package, str(find_config("mask-rcnn_sfp_digits.py")), "--checkpoint", "detector.pth"]
        other = ["--cfg-options", "model.backbone.spec=vit-w96-d4"] if package == "poa_bench" else []
        done = run([*command, *other], folder)
        assert done.returncode != 0
        assert sentence in done.stdout + done.stderr
        assert "bbox_mAP:" not in done.stdout + done.stderr


def test_page_and_commands_are_as_this_file_reads_them():
    assert len(COMMANDS) == 9 and all(command.startswith("mim test ") for command in COMMANDS)
    for document in ("README.md", "downstream/README.md"):
        assert "testing.md)" in (REPOSITORY / document).read_text()

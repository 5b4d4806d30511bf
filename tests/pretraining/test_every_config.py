"""Every pre-training config runs, with everything it says except the size of its network and of its data set."""

import io
import json
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from PIL import Image

from poa_bench.config_files import runnable_configs
from poa_bench.launch import build_runner, read_config
from tests.conftest import REPOSITORY
from tests.outside.networks import write
from tests.pretraining.runs import logged, weights
from tests.pretraining.tiny import tiny_poa

CONFIGS = sorted(path for path in runnable_configs().values() if REPOSITORY / "pretrain" in path.parents)
QUICK = {  # the others run with `pytest -m slow`
    "poa_vit-digits", "poa_swin-digits-quick", "poa_resnet-digits-quick", "poa_vit_cifar10", "poa_vit_photos",
    "distill_vit-digits", "prototypes_vit-digits", "seed_vit_cifar10", "moco_vit-digits", "mae_vit-digits",
}  # fmt: skip
HEAD = 4  # channels of an attention head; widths shrink by the same factor
BATCH, PICTURES = 2, 8


def each(path: Path):
    """One of each objective and family is quick; ablations, rules and deep networks are slow tests."""
    return pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else [pytest.mark.slow])


def jpegs() -> list[bytes]:
    files = []
    for picture in np.random.default_rng(0).integers(0, 256, (PICTURES, 48, 64, 3), np.uint8):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG")
        files.append(file.getvalue())
    return files


def write_pictures(path: Path, folder: str) -> None:
    """In the form that the path's ending says: an ``.npz`` or a zip of class folders; else class folders."""
    files = jpegs()
    if path.suffix == ".npz":
        sizes = [len(file) for file in files]
        arrays = {
            "offsets": np.cumsum([0, *sizes]),
            "labels": np.arange(PICTURES) % 2,
            "split": np.zeros(PICTURES, int),
        }
        np.savez(path, data=np.frombuffer(b"".join(files), np.uint8), classes=np.array(["a", "b"]), **arrays)
        return
    named = {str(Path(folder, "ab"[i % 2], f"{i}.jpg")): file for i, file in enumerate(files)}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, file in named.items():
                archive.writestr(name, file)
        return
    for name, file in named.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(file)


def shrink_network(config: Config) -> None:
    """Narrow, but with the config's number of candidates, depths, heads and crops."""
    backbone, head = config.model.backbone, config.model.head
    factor = (backbone.space.get("head_dim") or 4 * HEAD) // HEAD
    backbone.space.widths = [width // factor for width in backbone.space.widths]
    if backbone.space.family == "resnet":
        backbone.update(num_groups=32 // factor, channels=[64 // factor * 2**stage for stage in range(4)])
    else:
        backbone.space.head_dim = HEAD
    if "prototypes" in head:
        head.update(
            prototypes=[max(2, count // 64) for count in head.prototypes], hidden_features=32, bottleneck_features=16
        )


def give_teacher(config: Config, folder: Path) -> None:
    """The checkpoint of a tiny pre-training, or a tiny network of timm's with the config's own patches."""
    if "timm_name" in config.model.teacher:
        arguments = dict(embed_dim=16, depth=2, num_heads=2)
        network = timm.create_model(config.model.teacher.timm_name, pretrained=False, num_classes=0, **arguments)
        config.model.teacher.update(checkpoint=str(write(network, folder / "teacher.safetensors")), arguments=arguments)
        return
    poa = tiny_poa(data_preprocessor=config.model.data_preprocessor)
    poa.supernet.preprocessing = poa.data_preprocessor.describe([], 32)
    meta = {"poa_bench": poa.supernet.describe(), "objective": poa.describe()}
    torch.save({"meta": meta, "state_dict": poa.state_dict()}, folder / "teacher.pth")
    config.model.teacher.checkpoint = str(folder / "teacher.pth")


def one_source(source: dict, folder: Path) -> dict:
    """Few pictures in the place of one that are gathered without labels; all of them where a COCO file chooses."""
    path = folder / Path(source["path"]).name
    write_pictures(path, source.get("folder", ""))
    source = {**source, "path": str(path)}
    if "coco_file" in source:
        names = [str(picture.relative_to(path / source["folder"])) for picture in path.rglob("*.jpg")]
        source["coco_file"] = str(folder / "coco.json")
        Path(source["coco_file"]).write_text(json.dumps({"images": [{"file_name": name} for name in names]}))
    return source


def shrink_data(config: Config, folder: Path) -> None:
    loader = config.train_dataloader
    loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
    if "path" in loader.dataset:
        loader.dataset.path = str(folder / Path(loader.dataset.path).name)
        write_pictures(Path(loader.dataset.path), loader.dataset.get("folder", ""))
    elif "sources" in loader.dataset:
        loader.dataset.sources = [one_source(source, folder) for source in loader.dataset.sources]
    else:
        loader.dataset.indices = PICTURES
    if "knn" in config.default_hooks:  # measures on the same pictures
        options = {"evaluation.resize": 32}
        for split in ("train", "val", "test"):
            change = {"path": loader.dataset.path, "split": "train", "indices": PICTURES}
            options |= {f"evaluation.{split}.{name}": value for name, value in change.items()}
        config.default_hooks.knn.update(k=1, interval=0.25, options=options)


class StopAfterTwo(Hook):
    """Ends the run, whose schedules are those of its full length."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.train_loop.stop_training = runner.iter == 1


@pytest.mark.parametrize("path", list(map(each, CONFIGS)))
def test_config_runs_two_steps(path, tmp_path):
    config = read_config(Namespace(config=str(path), work_dir=str(tmp_path), cfg_options=[], launcher="none"))
    if "digits" not in path.stem:
        shrink_network(config)
    if "teacher" in config.model:
        give_teacher(config, tmp_path)
    shrink_data(config, tmp_path)
    # what begins after some epochs, now
    config.param_scheduler[0].end = config.param_scheduler[1].begin = 0.25  # one step of warm-up
    if "patch_weight" in config.default_hooks:
        config.default_hooks.patch_weight.begin = 0
        config.default_hooks.freeze_last_layer.epochs = 0
    config.default_hooks.logger.interval = 1
    config.default_hooks.checkpoint.interval = 1
    config.model.compile_blocks = False  # takes minutes on a CPU; tests/elastic/test_compile.py has it
    if "collapse" in config.default_hooks:
        config.default_hooks.collapse.update(interval=1)
    runner = build_runner(config)
    runner.register_hook(StopAfterTwo())
    runner.train()
    terms = {name for name in runner.message_hub.log_scalars if name.startswith(("train/intact_", "train/elastic_"))}
    terms -= {"train/elastic_width"} | {name for name in terms if "elastic_depth" in name}
    assert terms
    names = [name.removeprefix("train/") for name in terms]
    values = torch.tensor(list(logged(tmp_path, "loss", "grad_norm", *names).values()))
    assert values.shape[0] == 2 and values.isfinite().all()
    first, second = (weights(tmp_path / f"iter_{i}.pth") for i in (1, 2))
    moved = {name.split(".")[0] for name in first if not torch.equal(first[name], second[name])}
    assert set(runner.model.branches) == moved
    if "knn" in config.default_hooks:  # each picture is its own neighbour
        assert logged(tmp_path, f"knn/{runner.model.student.backbone.space.intact}") == {1: (100,), 2: (100,)}

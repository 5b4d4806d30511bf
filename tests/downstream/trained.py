"""Trained heads on the embedded scenes, and the tools of mmdet, mmseg and mmpretrain that test them."""

import os
import re
import runpy
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path

from poa_bench import launch
from poa_bench.config_files import find_config

SIZE = "vit-w32-d3"  # not that of the configs
CONFIGS = {"mmdet": "mask-rcnn_sfp_digits.py", "mmseg": "linear-seg_digits.py"}
SCENES = 4
FEW = [f"{split}_dataloader.dataset.indices={SCENES}" for split in ("train", "val", "test")]


def arguments(config: str, work_dir: Path, *options: str, **others) -> Namespace:
    """What `tools/train.py` and `tools/test.py` read from their command lines."""
    defaults = dict(launcher="none", debug=False, amp=None, auto_scale_lr=False, resume=None, tta=False)
    config = str(find_config(config)) if not Path(config).is_file() else config
    return Namespace(config=config, work_dir=str(work_dir), cfg_options=list(options), **{**defaults, **others})


def train(library: str, work_dir: Path, *options: str, iterations: int = 2, **others) -> Path:
    """Train a head by our own tool; the checkpoint."""
    length = [f"train_cfg.max_iters={iterations}", f"train_cfg.val_interval={iterations}"]
    length.append(f"default_hooks.checkpoint.interval={iterations}")
    launch.train(arguments(CONFIGS[library], work_dir, *FEW, *length, "randomness.seed=0", *options, **others))
    return work_dir / f"iter_{iterations}.pth"


def measured(work_dir: Path, name: str) -> list[float]:
    """A number of all evaluations whose logs are in a work directory, the oldest first."""
    logs = "".join(path.read_text() for path in sorted(work_dir.glob("*/*.log")))
    return [float(value) for value in re.findall(rf"Iter\((?:val|test)\).*? {name}: ([\d.]+)", logs)]


def run_tool(library: str, checkpoint: Path, work_dir: Path, *options: str, config: str = "", words=()) -> None:
    """The library's own `tools/test.py`, in this process."""
    tool = Path(import_module(library).__file__).parent / ".mim/tools/test.py"
    before, folder = sys.argv, os.getcwd()
    sys.argv = [str(tool), config or str(find_config(CONFIGS[library])), str(checkpoint), "--work-dir", str(work_dir)]
    sys.argv += [*words, "--cfg-options", *FEW, *options]
    try:
        runpy.run_path(str(tool), run_name="__main__")
    finally:
        sys.argv = before
        os.chdir(folder)

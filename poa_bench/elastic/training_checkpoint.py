"""Reads training checkpoints as mmengine, publishing scripts and wrappers of torch write them; executes no pickle."""

import os
import re
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poa_bench.elastic.branch import BRANCHES, UNAVERAGED, Branch, evaluated_branch
from poa_bench.elastic.described import check_description
from poa_bench.elastic.preprocessing import say_once
from poa_bench.elastic.safe_globals import safe_globals
from poa_bench.errors import InputError
from poa_bench.files import existing, state_of

EXECUTE = "POA_BENCH_EXECUTE_PICKLES"  # the way to load what somebody trusted has pickled
WRAPPERS = {"module", "_orig_mod"}  # what DistributedDataParallel and torch.compile put into the names of parameters
_FINE_TUNED = "backbone.network."  # how the tensors of a SubnetBackbone begin in the checkpoint of a dense model


def read_checkpoint(path: str | Path, mapped: bool = True) -> dict[str, Any]:
    """Read a mmengine checkpoint with `weights_only=True` and the few harmless classes that mmengine stores.

    With `mapped`, tensors are read from the file when they are looked at, and are not compared with their check sums.

    Both of torch's formats are read: publishing scripts of OpenMMLab write the old one, which is no zip file.

    Raises:
        InputError: no such file, or not a checkpoint that can be read safely, or a damaged one.
    """
    path = existing(path)
    safely = os.environ.get(EXECUTE) != "1"
    try:
        with torch.serialization.safe_globals(safe_globals()):
            checkpoint = torch.load(
                path, map_location="cpu", weights_only=safely, mmap=mapped and zipfile.is_zipfile(path)
            )
    except Exception as error:  # torch raises half a dozen kinds for a file that is no checkpoint
        raise InputError(f"{path} is not a training checkpoint that can be read safely: {_reason(error)}") from error
    if not mapped:
        check_whole(path)
    return checkpoint if isinstance(checkpoint, dict) else {}


def _reason(error: Exception) -> str:
    """Why torch did not read a file, in a line; its own text is many."""
    if called := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"it holds more than tensors and plain values, and would have to call {called[1]}; only if you trust who "
            f"made it, the environment variable {EXECUTE}=1 lets it run its code"
        )
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_training_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read the checkpoint of a pre-training, see `read_checkpoint`.

    Raises:
        InputError: it cannot be read, or is not one of poa_bench (no `meta.poa_bench`).
    """
    checkpoint = read_checkpoint(path)
    meta = checkpoint.get("meta")
    if not isinstance(meta, dict) or "poa_bench" not in meta:
        raise InputError(
            f"{path} was not written by a poa_bench pre-training (it has no meta.poa_bench): {_way_out(checkpoint)}"
        )
    check_description(meta["poa_bench"], path)
    for name in ("objective", "compute"):
        if not isinstance(meta.get(name) or {}, dict):
            raise InputError(f"{path}: meta.{name} is {meta[name]!r:.80}: it must be a dict")
    if (branch := evaluated_branch(checkpoint)) not in BRANCHES:
        raise InputError(f"{path}: meta.objective.evaluated_branch is {branch!r:.80}: use {', '.join(BRANCHES)}")
    return checkpoint


def pretraining_seed(path: str | Path) -> int | None:
    """The seed that a training checkpoint says it was trained with; None where it says none.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    seed = read_training_checkpoint(path)["meta"].get("seed")  # mmengine writes it
    return seed if isinstance(seed, int) else None


def branch_tensors(
    checkpoint: dict[str, Any], branch: Branch, path: str | Path, part: str = "backbone"
) -> dict[str, Tensor]:
    """The tensors of one part of a branch by that part's own names, without what wrappers put before or into them.

    Where mmengine's EMAHook averaged the training's weights, `state_dict` holds the averages and `ema_state_dict` the
    weights themselves; which were taken is said.

    Args:
        checkpoint: as `read_training_checkpoint` gives it.
        branch: the `teacher` or the `student`; with `-unaveraged`, the weights that EMAHook has set aside.
        path: of the checkpoint, whose check sums are looked at.
        part: `backbone` (the supernet) or `head`.

    Raises:
        InputError: no such branch or part, two tensors of one name, or a file that is not whole.
    """
    check_whole(path)
    if branch not in BRANCHES:
        raise InputError(f"unknown branch {branch!r}: use {', '.join(map(repr, BRANCHES))}")
    network, averaged = branch.removesuffix(UNAVERAGED), not branch.endswith(UNAVERAGED)
    if not averaged and "ema_state_dict" not in checkpoint:
        raise InputError(f"{path} holds no {branch}: no EMAHook wrote it (it has no ema_state_dict), use {network!r}")
    if averaged and "ema_state_dict" in checkpoint:
        say_once(f"{path}: the averages of mmengine's EMAHook are taken; branch {network + UNAVERAGED!r} is without")
    state = unwrapped(_tensors(checkpoint.get("state_dict" if averaged else "ema_state_dict"), path), path)
    prefix = f"{network}.{part}."
    found = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not found:
        what = branch if part == "backbone" else f"{part} of the {branch}"
        raise InputError(f"{path} holds no {what}: its tensors start with {_prefixes(state)}")
    return found


def _tensors(found: Any, path: str | Path) -> dict[str, Tensor]:
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path} holds no tensors by name (its state_dict is {found!r:.80}): give another checkpoint")
    if wrong := [name for name, value in found.items() if not (isinstance(name, str) and isinstance(value, Tensor))]:
        raise InputError(f"{path}: {wrong[0]!r:.80} in its state_dict is no tensor; give another checkpoint")
    return found


def compute_facts(compute: dict[str, Any]) -> dict[str, float]:
    """``meta.compute`` as facts of a result; a teacher's are added up with those of its own teacher.

    >>> compute_facts({"images": 64, "core_hours": 0.5, "teacher": {"flop": 3.0, "teacher": {"flop": 1.0}}})
    {'pretraining_images': 64, 'pretraining_core_hours': 0.5, 'teacher_flop': 4.0}
    """
    facts = {f"pretraining_{name}": value for name, value in compute.items() if name != "teacher"}
    teacher = compute.get("teacher")
    while teacher:
        for name in ("flop", "core_hours", "gpu_hours"):
            if name in teacher:
                facts[f"teacher_{name}"] = facts.get(f"teacher_{name}", 0) + teacher[name]
        teacher = teacher.get("teacher")
    return facts


def is_whole(path: str | Path) -> bool:
    """Whether every byte of a checkpoint is there and right: torch's zip files hold the check sum of each tensor.

    It reads the whole file, at some 1 to 2 GB/s where that is in memory, once in a process for each `state_of` it.
    """
    path = Path(path).resolve()
    return _is_whole(path, state_of(path))


@lru_cache(maxsize=1024)
def _is_whole(path: Path, state: tuple[int, ...]) -> bool:
    with open(path, "rb") as stream:
        start = stream.read(2)
    if start != b"PK":
        return start[:1] == b"\x80"  # torch's format before 1.6, without check sums
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # a zip in pieces raises a dozen kinds, from BadZipFile to OSError for a place before its start
        return False


def check_whole(path: str | Path) -> None:
    """Raise InputError if a checkpoint is not `is_whole`."""
    if not is_whole(path):
        raise InputError(f"{path} is cut short or damaged: its check sums are wrong; copy it again, or give another")


def unwrapped(state: dict[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """Names without the parts that wrappers add: `module.teacher._orig_mod.x` is `teacher.x`."""
    plain = {".".join(part for part in name.split(".") if part not in WRAPPERS): name for name in state}
    if len(plain) < len(state):
        twice = next(name for name in state if name not in plain.values())
        raise InputError(f"{path} has {twice} twice, with and without the name of a wrapper: keep one of them")
    return {name: state[written] for name, written in plain.items()}


def _way_out(checkpoint: dict[str, Any]) -> str:
    """What to give instead of a file that does not say which supernet it holds."""
    names = [str(name) for name in checkpoint.get("state_dict", checkpoint)]
    if any(name.startswith(_FINE_TUNED) for name in names):
        return (
            "it is a detector, segmentor or classifier, whose backbone has one size; `poa-bench export` without a "
            "size makes a file of it that can be given here; or give the checkpoint of the pre-training it started from"
        )
    if any("teacher." in name for name in names):
        return "save these tensors with the `meta` of their checkpoint, as {'state_dict': ..., 'meta': ...}"
    return "give an epoch_*.pth or iter_*.pth of such a run, or an extracted .safetensors file"


def _prefixes(names: dict[str, Tensor]) -> list[str]:
    return sorted({".".join(name.split(".")[:2]) for name in names})

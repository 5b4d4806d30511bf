"""Which checkpoint a run starts from: only whole ones, and only its own.

A work directory may be moved or copied: `last_checkpoint` holds an absolute path (stock mmengine, which the other
packages' tools use, needs one), of which only the name counts here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from poa_bench.elastic.training_checkpoint import is_whole
from poa_bench.errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config

LAST = "last_checkpoint"  # mmengine's file with the path of the newest one
_NUMBERED = re.compile(r"(?!best_).*?(\d+)\.pth")  # iter_1000.pth, epoch_12.pth


def choose_start(config: Config) -> list[str]:
    """Settle `resume` and `load_from` of a config: what the run goes on from, or takes its weights from.

    `resume="auto"`, or `resume=True` without `load_from`, takes the newest whole checkpoint of the run's own folder;
    where there is none the run begins, from `load_from` if that is given.

    Returns:
        Sentences for the log: what was skipped.

    Raises:
        InputError: the checkpoint named is not there or not whole, or the folder holds checkpoints and none is whole.
    """
    notes = []
    if config.get("resume") == "auto" or (config.get("resume") and not config.get("load_from")):
        found, notes = newest_whole(checkpoint_folder(config), Path(config.work_dir, LAST))
        config.resume = found is not None
        if found is not None:
            config.load_from = str(found)
            return notes
    if (named := config.get("load_from")) and "://" not in str(named):
        _check_named(Path(named))
    return notes


def checkpoint_folder(config: Config) -> Path:
    """Where mmengine's checkpoint hook of a config writes."""
    hook = (config.get("default_hooks") or {}).get("checkpoint") or {}
    work_dir = Path(config.work_dir)
    out_dir = hook.get("out_dir")
    return Path(out_dir, work_dir.name) if out_dir and Path(out_dir) != work_dir else work_dir


def numbered(folder: Path) -> dict[Path, int]:
    """The checkpoints in a folder with the iteration or epoch in their names, the highest first."""
    found = {path: match for path in folder.glob("*.pth") if (match := _NUMBERED.fullmatch(path.name))}
    return dict(sorted(((path, int(match[1])) for path, match in found.items()), key=lambda item: -item[1]))


def newest_whole(folder: Path, last: Path) -> tuple[Path | None, list[str]]:
    """The checkpoint to go on from; None where there has been no run.

    It is the one that `last` names; if that is not whole, the next lower number. A higher number is of a run that was
    given up for an earlier checkpoint, unless nothing says which is the last.

    Args:
        folder: of the checkpoints.
        last: the file that names the newest; only the name counts, and it may be missing.

    Returns:
        The path, and a sentence for each checkpoint that was skipped.

    Raises:
        InputError: there has been a run, and no whole checkpoint is left of it.
    """
    found = numbered(folder)
    named = folder / Path(last.read_text().strip()).name if last.is_file() else None
    if not found and named is None:
        return None, []
    highest = found.get(named, _number(named))
    skipped = [] if named in found or named is None else [f"{named}, which {LAST} names, is not there"]
    for path in [path for path, number in found.items() if number <= highest]:
        if is_whole(path):
            note = f"; going on from {path}"
            return path, [f"{sentence}{note}" for sentence in skipped]
        skipped.append(f"{path} is cut short or damaged")
    left = f"; {', '.join(path.name for path in found)} {'is' if len(found) == 1 else 'are'} there" if found else ""
    raise InputError(
        f"no checkpoint to go on from in {folder}: {'; '.join(skipped)}{left}: name one with --resume FILE, begin "
        f"anew in another --work-dir, or remove {'them' if found else last} to begin anew here"
    )


def _number(path: Path | None) -> float:
    match = _NUMBERED.fullmatch(path.name) if path else None
    return int(match[1]) if match else float("inf")


def _check_named(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}")
    if is_whole(path):
        return
    others = (other for other in numbered(path.parent) if other != path and is_whole(other))
    beside = next(others, None)
    advice = f"the newest whole one beside it is {beside}" if beside else "no whole one is beside it"
    raise InputError(f"the checkpoint {path} is cut short or damaged: {advice}")

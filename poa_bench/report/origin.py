"""Which file each size was measured from, and the command that cuts it out of exactly that one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from poa_bench.elastic.branch import DEFAULT_BRANCH
from poa_bench.files import sha256_file
from poa_bench.outside.name import PREFIX, is_outside
from poa_bench.printed import command
from poa_bench.report.frame import ReportData


@lru_cache(maxsize=16)
def origins(data: ReportData) -> pd.DataFrame:
    """The checkpoint to cut each pre-trained (series, spec) from.

    Where a score is a mean over repeats of the pre-training, it is the one with the lowest seed: the best of them is
    not looked for, since that would be a choice by test scores.

    Returns:
        Indexed by series and spec: `checkpoint` (the path of its newest result), `checkpoint_sha256`,
        `pretraining_seed` (missing where it is not known), `branch` ('' where it is not known), `pretrainings` (how
        many the series has of this size), `export`, the command, and `origin`, what it cuts, in words.
    """
    fresh = data.long[(data.long.stale == "") & data.long.series.isin(data.pretrained)]
    branch = fresh["config.branch"] if "config.branch" in fresh else pd.Series(None, index=fresh.index, dtype=object)
    fresh = fresh.assign(branch=branch.fillna(""))
    keys = ["series", "spec"]
    rows = fresh.sort_values(["pretraining_seed", "created"], ascending=[True, False], kind="stable")
    found = rows.groupby(keys)[["checkpoint", "checkpoint_sha256", "branch"]].first()
    found["pretraining_seed"] = rows.groupby(keys).pretraining_seed.min()
    found["pretrainings"] = rows.groupby(keys).pretraining.nunique()
    found["export"] = [export_command(row.checkpoint, row.Index[1], row.branch) for row in found.itertuples()]
    found["origin"] = [_origin(row) for row in found.itertuples()]
    return found


def export_command(checkpoint: str, spec: str, branch: str = "") -> str:
    """The command that cuts the size out of a branch of a checkpoint; '' is the teacher.

    Of a network from outside, the call that loads the file if it has timm's own names.
    """
    if is_outside(spec):
        return f"timm.create_model({spec.removeprefix(PREFIX)!r}, num_classes=0, checkpoint_path={checkpoint!r})"
    other = None if branch == DEFAULT_BRANCH else branch
    return command("export", checkpoint, spec, o=f"{spec}.safetensors", branch=other)


def _origin(row: Any) -> str:
    """`teacher of epoch_10.pth (sha256 aaaaaaaa, pre-training seed 0)`."""
    said = [f"sha256 {row.checkpoint_sha256[:8]}"]
    if is_outside(row.Index[1]):
        return f"network from outside, {Path(row.checkpoint).name} ({said[0]})"
    said += [f"pre-training seed {row.pretraining_seed}"] if pd.notna(row.pretraining_seed) else []
    said += [] if row.branch else ["branch not said by the results"]
    text = f"{row.branch or 'teacher'} of {Path(row.checkpoint).name} ({', '.join(said)})"
    return text + (f", one of {row.pretrainings} pre-trainings in the score" if row.pretrainings > 1 else "")


def replaced(row: pd.Series) -> str | None:
    """The hash of another file that is now at the checkpoint's path; None if it is the one measured, or not there."""
    if not Path(row.checkpoint).is_file():
        return None
    found = sha256_file(row.checkpoint)
    return None if found == row.checkpoint_sha256 else found

"""Which results no longer belong to the newest checkpoint or protocol."""

from __future__ import annotations

import pandas as pd


def stale_reasons(long: pd.DataFrame) -> pd.Series:
    """Why each row is stale, or an empty text.

    A result is stale when the same checkpoint path has newer results of other contents (the file was trained on and
    written again), or when the same protocol name has results of a higher version on the same data set. Where the
    contents were trained with different seeds, the path was used for another repeat of the pre-training, and both are
    fresh.

    Args:
        long: the table of `read_results`.
    """
    reasons = pd.Series("", index=long.index)
    files = long.sort_values("created").dropna(subset=["checkpoint"])
    seed = long.pretraining_seed.fillna(long.checkpoint.map(files.groupby("checkpoint").pretraining_seed.last()))
    file = long.checkpoint + " " + seed.astype("string").fillna("")
    current = file.map(files.checkpoint_sha256.groupby(file).last())
    other = current.notna() & (current != long.checkpoint_sha256)
    reasons = reasons.where(
        ~other, "checkpoint " + _short(long.checkpoint_sha256) + " was replaced by " + _short(current)
    )

    parts = long.protocol.str.rsplit("/", n=1, expand=True)
    name, version = long.task + " " + long.dataset + " " + parts[0], parts[1].astype(int)
    highest = version.groupby(name).transform("max")
    old = (version < highest) & (reasons == "")
    return reasons.where(~old, "protocol " + long.protocol + " was replaced by version " + highest.astype(str))


def _short(hashes: pd.Series) -> pd.Series:
    return hashes.map(lambda text: text[:8], na_action="ignore")

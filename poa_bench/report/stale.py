"""Which results no longer belong to the newest checkpoint or protocol."""

from __future__ import annotations

import pandas as pd


def stale_reasons(long: pd.DataFrame) -> pd.Series:
    """Why each row is stale, or an empty text.

    A result is stale when the same checkpoint path has newer results of other contents (the file was trained on and
    written again), or when the same protocol name has results of a higher version.

    Args:
        long: the table of `read_results`.
    """
    reasons = pd.Series("", index=long.index)
    newest = long.sort_values("created").dropna(subset=["checkpoint"]).groupby("checkpoint").checkpoint_sha256.last()
    current = long.checkpoint.map(newest)
    other = current.notna() & (current != long.checkpoint_sha256)
    reasons = reasons.where(
        ~other, "checkpoint " + _short(long.checkpoint_sha256) + " was replaced by " + _short(current)
    )

    parts = long.protocol.str.rsplit("/", n=1, expand=True)
    name, version = long.task + " " + parts[0], parts[1].astype(int)
    highest = version.groupby(name).transform("max")
    old = (version < highest) & (reasons == "")
    return reasons.where(~old, "protocol " + long.protocol + " was replaced by version " + highest.astype(str))


def _short(hashes: pd.Series) -> pd.Series:
    return hashes.map(lambda text: text[:8], na_action="ignore")

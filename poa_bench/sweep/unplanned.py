"""Results in a folder that are not those of the plan: stale ones, and others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from poa_bench.runs.results import Result
from poa_bench.runs.run import Run


def unplanned(runs: Sequence[Run], results: Iterable[Result]) -> dict[str, list[Result]]:
    """Results that measured what the plan wants, but not as it wants it; by a few words that say what they are.

    `stale ...` are replaced in a report: the protocol has a newer version, or the checkpoint's file other contents.
    `other ...` stand beside the plan's in a report: they are of another checkpoint, or of other settings.
    """
    wanted: dict[tuple, list[Run]] = {}
    for run in runs:
        wanted.setdefault(_subject(run), []).append(run)
    planned = {run.id for run in runs}
    found: dict[str, list[Result]] = {}
    for result in results:
        if result.run_id not in planned and (alike := wanted.get(_subject(result))):
            # the plan may have several checkpoints: this result is compared with its own, if that is there
            run = max(
                alike, key=lambda run: (run.checkpoint_sha256 == result.checkpoint_sha256, _same_file(run, result))
            )
            found.setdefault(_difference(run, result), []).append(result)
    return found


def _subject(item: Run | Result) -> tuple:
    name = item.protocol.rsplit("/", 1)[0]
    return (item.spec, item.task, name, item.dataset, item.seed, item.initialisation)


def _same_file(run: Run, result: Result) -> bool:
    """Whether the result's checkpoint is an earlier content of the run's file, not another repeat of the training."""
    seeds = {run.pretraining_seed, result.pretraining_seed} - {None}
    paths = [item.checkpoint and Path(item.checkpoint).absolute() for item in (run, result)]
    return paths[0] == paths[1] and len(seeds) < 2


def _difference(run: Run, result: Result) -> str:
    if result.protocol != run.protocol:
        return f"stale: protocol {result.protocol}, now {run.protocol}"
    if result.checkpoint_sha256 != run.checkpoint_sha256:
        kind = "stale: earlier contents of the" if _same_file(run, result) else "other: of another"
        return f"{kind} checkpoint ({result.checkpoint}, sha256 {str(result.checkpoint_sha256)[:8]})"
    if result.config_hash == run.config_hash:
        return "other: they do not say the pre-training seed"
    changed = [name for name in run.config if result.config.get(name, run.config[name]) != run.config[name]]
    said = ", ".join(f"{name} {result.config[name]}, not {run.config[name]}" for name in changed)
    return f"other: of other settings ({said or 'which ones is not said'})"

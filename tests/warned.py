"""Warnings in the log of a run."""

from pathlib import Path

# what mmengine and mmseg say of themselves in every run of any project
THEIRS = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias', "The prefix is not set in metric class")


def warnings_in(work_dir: Path) -> list[str]:
    """Lines of the text logs below a folder that warn of something, without mmengine's own; there must be a log."""
    logs = list(work_dir.rglob("*.log"))
    assert logs, f"{work_dir} has no log"
    lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines() if " - WARNING - " in line]
    return [line for line in lines if not any(words in line for words in THEIRS)]

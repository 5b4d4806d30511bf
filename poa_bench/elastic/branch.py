"""Which network of a training checkpoint is meant."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

Branch = Literal["teacher", "student", "teacher-unaveraged", "student-unaveraged"]
BRANCHES: tuple[str, ...] = get_args(Branch)
UNAVERAGED = "-unaveraged"  # the weights that mmengine's EMAHook has set aside for their averages
DEFAULT_BRANCH: Branch = "teacher"  # what the paper evaluates; of files that say nothing


def evaluated_branch(checkpoint: Mapping[str, Any]) -> Branch:
    """The branch that is evaluated where nobody asks for another: the checkpoint's objective says it."""
    return (checkpoint["meta"].get("objective") or {}).get("evaluated_branch", DEFAULT_BRANCH)

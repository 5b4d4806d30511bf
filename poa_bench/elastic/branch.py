"""Which network of a training checkpoint is meant."""

from typing import Literal, get_args

Branch = Literal["teacher", "student", "teacher-unaveraged", "student-unaveraged"]
BRANCHES: tuple[str, ...] = get_args(Branch)
UNAVERAGED = "-unaveraged"  # the weights that mmengine's EMAHook has set aside for their averages
DEFAULT_BRANCH: Branch = "teacher"  # what the paper evaluates

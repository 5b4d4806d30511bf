"""Finds the project's config files, in a checkout as well as in an installed wheel."""

from difflib import get_close_matches
from pathlib import Path

from poa_bench.errors import InputError

RUNNABLE_FOLDERS = ("pretrain", "downstream")


def config_root() -> Path:
    """The folder that holds `configs/`, `pretrain/`, `downstream/`: the checkout, or `poa_bench/.mim` of a wheel."""
    package = Path(__file__).resolve().parent
    packed = package / ".mim"
    return packed if packed.is_dir() else package.parent


def runnable_configs() -> dict[str, Path]:
    """Base name -> absolute path of every config that can be trained, by name."""
    root = config_root()
    return {path.name: path for path in sorted(q for folder in RUNNABLE_FOLDERS for q in (root / folder).rglob("*.py"))}


def evaluation_configs() -> dict[str, Path]:
    """Name of a data set -> path of the evaluation config that comes with the project."""
    folder = config_root() / "configs" / "_base_" / "datasets"
    return {path.stem.removeprefix("evaluation_"): path for path in sorted(folder.glob("evaluation_*.py"))}


def find_config(name: str) -> Path:
    """The absolute path of a runnable config, by its base name with or without `.py`; a folder before it is ignored.

    Raises:
        InputError: there is no config of that name.
    """
    configs = runnable_configs()
    base_name = Path(name if name.endswith(".py") else f"{name}.py").name
    if base_name not in configs:
        close = get_close_matches(base_name, configs, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else "`poa-bench config-path` lists all."
        raise InputError(f"there is no config {base_name!r} in {config_root()}; {hint}")
    return configs[base_name]

"""Finds the project's config files, in a checkout as well as in an installed wheel, and reads configs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poa_bench.errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config

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


def families_of_the_demo() -> list[str]:
    """The families that have a pre-training on the embedded digits, `poa_<family>-digits.py`; vit first."""
    names = [match[1] for name in runnable_configs() if (match := re.fullmatch(r"poa_(\w+)-digits\.py", name))]
    return sorted(names, key=lambda name: (name != "vit", name))


def evaluation_configs() -> dict[str, Path]:
    """Name of a data set -> path of the evaluation config that comes with the project."""
    folder = config_root() / "configs" / "_base_" / "datasets"
    return {path.stem.removeprefix("evaluation_"): path for path in sorted(folder.glob("evaluation_*.py"))}


def named_configs() -> dict[str, Path]:
    """Base name -> absolute path of what `find_config` finds: runnable and evaluation configs."""
    return runnable_configs() | {path.name: path for path in evaluation_configs().values()}


def building_blocks() -> dict[str, Path]:
    """Base name -> absolute path of what configs inherit with `_base_`, by folder and name."""
    return {path.name: path for path in sorted((config_root() / "configs" / "_base_").rglob("*.py"))}


def find_config(name: str, configs: Mapping[str, Path] | None = None) -> Path:
    """The absolute path of a config, by its base name or its path in the project, each with or without `.py`.

    Args:
        configs: base name -> path of those that a name may mean (default: `named_configs()`).

    Raises:
        InputError: there is no config of that name, or no such path.
    """
    configs = named_configs() if configs is None else configs
    path = Path(name if name.endswith(".py") else f"{name}.py")
    base_name = path.name
    if len(path.parts) > 1:
        if (config_root() / path).is_file():
            return config_root() / path
        hint = f"; the project's config of that name is {base_name}, without a folder" if base_name in configs else ""
        raise InputError(f"there is no config file {name}{hint}")
    if base_name not in configs:
        close = get_close_matches(base_name, configs, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else "`poa-bench config-path` lists all."
        raise InputError(f"there is no config {base_name!r} in {config_root()}; {hint}")
    return configs[base_name]


def read_config(source: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """A config by its path, or one of this project by name; options replace its values.

    Raises:
        InputError: there is no such config, it or a `_base_` of it cannot be read, or an option does not fit.
    """
    from mmengine.config import Config

    path = Path(source) if Path(source).is_file() else find_config(str(source))
    if path.suffix != ".py":  # mmengine reads YAML with a loader that runs what the file asks for
        raise InputError(f"{path} is no config: configs are Python files (.py), which are run when they are read")
    try:
        config = Config.fromfile(path)
    except Exception as error:  # it is Python, in which anything can be wrong
        raise InputError(f"{path}, or a _base_ of it, cannot be read: {type(error).__name__}: {error}") from error
    replace_values(config, options or {})
    return config


def replace_values(config: Config, options: Mapping[str, Any]) -> None:
    """Replace values of a config, `{"train_cfg.max_iters": 10}`; the place behind a list's last is a new entry of it.

    Raises:
        InputError: one does not fit.
    """
    for key, value in options.items():
        _make_room(config, key.split("."))
        try:
            config.merge_from_dict({key: value})
        except (ValueError, KeyError, TypeError, AssertionError, IndexError) as error:
            reason = str(error.args[0])[:200] if error.args else type(error).__name__
            raise InputError(f"{key}={value} does not fit {config.filename}: {reason}") from error


def _make_room(config: Any, path: list[str]) -> None:
    """Append what `visualizer.vis_backends.1.type` needs to a list of one, which mmengine would not."""
    for name in path[:-1]:
        if isinstance(config, list):
            if name == str(len(config)):
                config.append({})
            config = config[int(name)] if name.isdecimal() and int(name) < len(config) else None
        else:
            config = config.get(name) if hasattr(config, "get") else None

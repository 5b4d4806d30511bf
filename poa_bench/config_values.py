"""Compares a config with the signatures of what it configures, before anything is built.

A wrong argument name or a value of the wrong kind becomes a sentence with the whole key. Type hints are believed of our
own classes; of mmengine's and torch's where they are numbers, words and flags; of other packages only the names of
arguments are.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import torch
from mmengine import registry as roots
from mmengine import runner as loops
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from pydantic import PydanticUserError, TypeAdapter, ValidationError
from torch.utils.data import DataLoader

from poa_bench.elastic.limits import MOST_SEED
from poa_bench.errors import InputError
from poa_bench.registry import SCOPE

if TYPE_CHECKING:
    from mmengine.config import Config

REGISTRIES = [each for each in vars(roots).values() if isinstance(each, roots.Registry)]
BELIEVED = (f"{SCOPE}.", "mmengine.", "torch.utils.data.", "torch.optim.")
CLOSED = (CheckpointHook.__init__,)  # keeps what it does not know for writers that nobody has
# what the Runner takes out of a dict before it builds the rest, by the last part of the key
TAKEN_OUT = {
    "train_cfg": ("by_epoch",),
    "optim_wrapper": ("constructor", "paramwise_cfg", "optimizer"),
    "param_scheduler": ("convert_to_iter_based", "cut"),
    "default_hooks": ("priority",),
    "custom_hooks": ("priority",),
    "dataloader": (
        *("dataset", "sampler", "batch_sampler", "collate_fn", "worker_init_fn"),
        *("num_batch_per_epoch", "disable_subprocess_warning"),
    ),
}
LOOPS = {"val_cfg": loops.ValLoop, "test_cfg": loops.TestLoop}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def check_config(config: Config) -> None:
    """Check the values of a config for the Runner.

    Raises:
        InputError: the sentence names key, value, what is allowed, and near names.
    """
    of_runner = {name: value for name, value in config.items() if name in _parameters(loops.Runner)}
    if of_runner.get("resume") == "auto":  # see `resuming.choose_start`
        del of_runner["resume"]
    check_call("", loops.Runner, of_runner)
    for name, value in of_runner.items():
        if isinstance(value, str | int | float) and _hints(loops.Runner)[name] is Any:
            raise InputError(f"{name}={value!r}: this entry is a dict or a list, not a single value")
    if (level := str(config.get("log_level", "INFO"))) not in LEVELS:
        raise InputError(f"log_level={level!r}: use one of {', '.join(LEVELS)}")
    check_call("env_cfg", setup_env, config.get("env_cfg") or {})
    randomness = config.get("randomness") or {}
    check_call("randomness", loops.Runner.set_randomness, randomness)
    seed = randomness.get("seed")
    if seed is not None and not (isinstance(seed, int) and 0 <= seed <= MOST_SEED):
        raise InputError(f"randomness.seed={seed!r}: a seed is a whole number from 0 to {MOST_SEED}")
    check_parts(config)


def check_parts(config: Config) -> None:
    """Check the arguments of everything that a config describes; raises InputError."""
    for key, called, given in _calls(config):
        check_call(key, called, given)


def setup_env(
    cudnn_benchmark: bool = False, mp_cfg: Any = None, dist_cfg: Any = None, resource_limit: int = 4096
) -> None:
    """What the Runner reads of `env_cfg`."""


def hint_of(config: Config, key: str) -> Any:
    """The type hint of the argument that a key of a config sets; `Any` where there is none to believe."""
    parent, _, name = key.rpartition(".")
    if not parent:
        return _hints(loops.Runner).get(name, Any)
    return next((_hints(called).get(name, Any) for place, called, _ in _calls(config) if place == parent), Any)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what a type hint says; lists and tuples are one to a config."""
    try:
        return _plain(_adapter(hint).validate_python(value)) == _plain(value)  # what has to be changed does not fit
    except ValidationError:
        return False
    except PydanticUserError:  # a hint that pydantic cannot check
        return True


def check_call(where: str, called: Callable, given: Mapping[str, Any]) -> None:
    """Check the arguments of one call.

    Args:
        where: key of the arguments in the config.
        called: class or function.
        given: the arguments.

    Raises:
        InputError: an argument is unknown, or its value is not of the kind that its type hint says.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"{where or 'the config'} is {given!r:.80}: it must be a dict of arguments")
    known = _parameters(called)
    for name, value in given.items():
        key = f"{where}.{name}".lstrip(".")
        if known is not None and name not in known:
            close = get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it takes {', '.join(sorted(known))}"
            raise InputError(f"{key}={value!r:.80}: {called.__name__} takes no {name!r}; {hint}")
        hint = _hints(called).get(name, Any)
        if hint is not Any and not _is_made_later(value) and not fits(value, hint):
            if called.__module__.startswith("mmengine.") and hint is not bool and isinstance(value, int | float | None):
                continue  # it says int and takes shares of an epoch, says str and takes a number, and None for default
            wanted = inspect.formatannotation(hint).replace("typing.", "").replace("collections.abc.", "")
            raise InputError(f"{key}={value!r:.80}: {called.__name__} takes {wanted} there")


def _calls(config: Config) -> Iterator[tuple[str, Callable, dict]]:
    """(key, class or function, arguments) of what a config describes.

    Parts of a model that are not ours are left out: whoever makes them often reads more than their arguments.
    """
    scope = config.get("default_scope") or "mmengine"
    for name, value in config.items():
        if name == "evaluation" or name in _parameters(loops.Runner):  # the others are the file's own helpers
            yield from _calls_in(name, value, (name,), scope)


def _calls_in(key: str, value: Any, path: tuple[str, ...], scope: str) -> Iterator[tuple[str, Callable, dict]]:
    if isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            if isinstance(inner, dict | list | tuple):  # there may be a million numbers
                yield from _calls_in(f"{key}.{place}", inner, path, scope)
    if not isinstance(value, dict):
        return
    scope = value.get("_scope_", scope)
    called = _called(value, path, scope)
    if called is not None and (_is_ours(called) or path[0] != "model" or len(path) == 1):
        kind = "dataloader" if path[-1].endswith("_dataloader") else path[-1] if len(path) == 1 else path[-2]
        taken = {"type", "_scope_", *TAKEN_OUT.get(kind, ())}
        yield key, called, {name: inner for name, inner in value.items() if name not in taken}
    for name, inner in value.items():
        yield from _calls_in(f"{key}.{name}", inner, (*path, name), scope)


def _called(value: dict, path: tuple[str, ...], scope: str) -> Callable | None:
    """What a dict of a config is built into, or None."""
    name = value.get("type")
    if isinstance(name, str):
        return find_class(name, scope)
    if name is not None:
        return name if callable(name) else None
    if len(path) > 1:
        return None
    if path[0].endswith("_dataloader"):
        return DataLoader
    if path[0] == "train_cfg":
        by_epoch = value.get("by_epoch", True)
        return loops.EpochBasedTrainLoop if by_epoch else loops.IterBasedTrainLoop
    return OptimWrapper if path[0] == "optim_wrapper" else LOOPS.get(path[0])


@lru_cache
def find_class(name: str, scope: str) -> Callable | None:
    """What is registered under a name, seen from a scope; None if nothing is, or two different things are.

    Raises:
        InputError: nothing of that name is registered here, where it must be.
    """
    package, _, base_name = name.rpartition(".")
    for registered in {scope, package} - {"", "mmengine"}:
        with contextlib.suppress(ImportError):  # whoever builds it says what is missing
            import_module(f"{registered}.registry")
    found = {registered for root in REGISTRIES if (registered := root.children.get(scope, root).get(name)) is not None}
    if found:
        return found.pop() if len(found) == 1 else None
    if package == SCOPE:
        raise InputError(f"type={name!r}: there is no such type here{near_types(base_name, SCOPE)}")
    return None


def near_types(name: str, scope: str) -> str:
    """The end of a sentence about a type that is not registered."""
    known = {known: known for root in REGISTRIES for known in root.module_dict}
    for each in [root.children[scope] for root in REGISTRIES if scope in root.children]:
        prefix = f"{SCOPE}." if scope == SCOPE else ""
        known |= {known: prefix + known for known in (*each.module_dict, *getattr(each, "on_demand", ()))}
    close = get_close_matches(name, known, n=2)
    return f"; did you mean {' or '.join(known[each] for each in close)}?" if close else ""


@lru_cache
def _parameters(called: Callable) -> frozenset[str] | None:
    """The names that a class or function takes; None where it takes any."""
    names: set[str] = set()
    for function in _functions(called):
        parameters = inspect.signature(function).parameters.values()
        names |= {each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
        if function in CLOSED or not any(each.kind == each.VAR_KEYWORD for each in parameters):
            return frozenset(names - {"self"})
        if not _is_ours(function):
            return None  # it may give them to anything; ours hand them on to the next class
    return None


@lru_cache
def _hints(called: Callable) -> dict[str, Any]:
    """The type hints to believe; a class comes before those that it is derived from."""
    hints: dict[str, Any] = {}
    for function in _functions(called):
        found = dict.fromkeys(inspect.signature(function).parameters, Any)
        if function.__module__.startswith(BELIEVED):
            found |= {name: hint for name, hint in _resolved(function) if _is_ours(function) or _is_plain(hint)}
        hints = found | hints
    return hints


def _resolved(function: Callable) -> Iterator[tuple[str, Any]]:
    for name, annotation in getattr(function, "__annotations__", {}).items():
        one = SimpleNamespace(__annotations__={name: annotation})
        with contextlib.suppress(NameError):  # a name that is imported for type checkers alone
            yield name, get_type_hints(one, function.__globals__)[name]


def _functions(called: Callable) -> list[Callable]:
    if not inspect.isclass(called):
        return [called]
    return [vars(each)["__init__"] for each in called.__mro__[:-1] if inspect.isfunction(vars(each).get("__init__"))]


@lru_cache
def _adapter(hint: Any) -> TypeAdapter:
    return TypeAdapter(hint, config={"arbitrary_types_allowed": True})


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _is_made_later(value: Any) -> bool:
    """A config of an object, or a placeholder of `poa_bench.SizedModel`."""
    if isinstance(value, str):
        return value.startswith(("backbone.", "sum(backbone."))
    return isinstance(value, dict) and "type" in value


def _is_plain(hint: Any) -> bool:
    return {*(get_args(hint) or (hint,))} <= {int, float, bool, str, torch.Tensor, type(None)}


def _is_ours(called: Callable) -> bool:
    return called.__module__.startswith(f"{SCOPE}.")

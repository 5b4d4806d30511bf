"""What a dense or fine-tuned checkpoint says of its own backbone: the size, and how the network was built.

It is a tensor among the weights, since that is what mmengine's hooks, moving averages and converters all keep. Other
packages' tools build the network before they look into the checkpoint; then `check_tensors` compares the two.
"""

import inspect
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from poa_bench.elastic import SearchSpace, SubnetSpec
from poa_bench.elastic.family import get_family
from poa_bench.elastic.training_checkpoint import WRAPPERS, read_checkpoint, unwrapped
from poa_bench.errors import InputError
from poa_bench.outside.name import OutsideSpec, is_outside, parse_spec

BUFFER = "description"  # its name in a `SubnetBackbone`
BACKBONE = "model.backbone"  # where the configs have it
# say how a network starts or trains, not what it computes
_TRAINING_ONLY = {"drop_path_rate", "weight_init", "position_std", "mask_token_std", "drop_path_uniform", "alpha"}
_START_ONLY = {"init_values", "zero_init_last"}  # kept, since tensors may depend on them, but not compared
_OUR_NAMES = {"img_size": "image_size"}
DEFAULT = "(default)"  # of our family, which has no name for it among timm's arguments


def space_of(spec: SubnetSpec, head_dim: int | None) -> SearchSpace:
    """A space of this one size."""
    return SearchSpace(spec.family, (spec.width,), tuple((depth,) for depth in spec.depths), head_dim)


def describe(
    spec: SubnetSpec | OutsideSpec, families: Mapping[str, Mapping[str, Any]], **levels: Any
) -> dict[str, Any]:
    """What has to be the same for the same network, in plain values: spec, family (its entry in `families`), levels."""
    entry = _in_our_names(families.get(spec.family, {}), spec)
    family = {name: value for name, value in entry.items() if name not in _TRAINING_ONLY}
    return json.loads(json.dumps({"spec": str(spec), "family": family, "levels": levels}, default=str))


def _in_our_names(entry: Mapping[str, Any], spec: object) -> dict[str, Any]:
    """An entry of `families`, by the names of `Supernet`; of a network from outside, by timm's."""
    return {name if is_outside(spec) else _OUR_NAMES.get(name, name): value for name, value in entry.items()}


def to_tensor(description: dict[str, Any]) -> Tensor:
    """As (bytes,) uint8, JSON in UTF-8."""
    return torch.frombuffer(bytearray(json.dumps(description).encode()), dtype=torch.uint8).clone()


def from_tensor(tensor: Tensor) -> dict[str, Any]:
    """The inverse of `to_tensor`; raises InputError for anything else."""
    try:
        found = json.loads(bytes(tensor.cpu().tolist()))
        return {name: found[name] for name in ("spec", "family", "levels")}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"what the checkpoint says of its backbone cannot be read: {error!r}") from error


def check_tensors(
    ours: dict[str, Any], shapes: Mapping[str, torch.Size], tensors: Mapping[str, Tensor], prefix: str
) -> None:
    """Compare a checkpoint with the backbone that it is loaded into.

    Args:
        ours: `describe` of the backbone.
        shapes: of the backbone's tensors.
        tensors: of the checkpoint.
        prefix: of the backbone's names among these.

    Raises:
        InputError: the checkpoint says of itself that it is another network, or does not have all tensors in the
            same shapes. mmengine would leave them random and go on.
    """
    parts = [part for part in prefix.split(".") if part not in WRAPPERS]
    key = f"model.{'.'.join(parts)}" if prefix else f"{BACKBONE}."
    if (said := tensors.get(f"{prefix}{BUFFER}")) is not None:
        _check_description(from_tensor(said), ours, key)
    wrong = [name for name, shape in shapes.items() if getattr(tensors.get(f"{prefix}{name}"), "shape", None) != shape]
    if not wrong:
        return
    here = [name for name in wrong if f"{prefix}{name}" in tensors]
    if len(wrong) == len(shapes) and not here:
        raise InputError(
            f"the checkpoint has none of the {len(shapes)} tensors {prefix}* of the backbone {ours['spec']}: give one "
            f"that a training of this config has written (weights of a pre-training are {key}init_cfg.checkpoint)"
        )
    name = here[0] if here else wrong[0]
    shape = list(tensors[f"{prefix}{name}"].shape) if here else "not there"
    raise InputError(
        f"the checkpoint does not hold the backbone {ours['spec']} that the config builds: {len(wrong)} of its "
        f"{len(shapes)} tensors do not fit ({prefix}{name} is {shape} instead of {list(shapes[name])}); give the size "
        f"that it was trained with, --cfg-options {key}spec=..., and {key}families if these were others"
    )


def _check_description(theirs: dict[str, Any], ours: dict[str, Any], key: str) -> None:
    if not (options := differing(theirs, ours)):
        return
    found, built = (", ".join(f"{name}={pair[side]}" for name, pair in options.items()) for side in (0, 1))
    given = [f"{key}{name}={pair[0]}".replace(" ", "") for name, pair in options.items() if pair[0] != DEFAULT]
    advice = f"add --cfg-options {shlex.join(given)}" if given else f"take it out of {key}families"
    raise InputError(f"the checkpoint holds a network with {found}, but the config builds one with {built}: {advice}")


def differing(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The options in which two networks differ, by their names in a backbone's config: (theirs, ours)."""
    found = {"spec": (theirs["spec"], ours["spec"])}
    family = parse_spec(theirs["spec"]).family
    same = family == parse_spec(ours["spec"]).family
    if same and (theirs["spec"] == ours["spec"] or not is_outside(ours["spec"])):
        # built for one size, since the arguments of another one differ anyway
        one, other = (complete_arguments(theirs["spec"], each["family"]) for each in (theirs, ours))
        if one != other:
            names = {**ours["family"], **theirs["family"]}
            pairs = {
                name: tuple(_value(each["family"], name, theirs["spec"]) for each in (theirs, ours)) for name in names
            }
            found |= {f"families.{family}.{name}": pair for name, pair in pairs.items() if name not in _START_ONLY}
    both = theirs["levels"].keys() & ours["levels"].keys()
    found |= {name: (theirs["levels"][name], ours["levels"][name]) for name in sorted(both)}
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def complete_arguments(spec: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """All constructor arguments of the timm class for a size and its `families` entry, defaults included.

    Of a network from outside, whose name stands for them, those of the entry.
    """
    if is_outside(spec):
        return dict(entry)
    size = SubnetSpec.parse(spec)
    family = get_family(size.family)
    timm_names = {ours: theirs for theirs, ours in _OUR_NAMES.items()}
    options = {timm_names.get(name, name): value for name, value in entry.items()}
    head_dim = options.pop("head_dim", None)
    given = family.arguments(space_of(size, head_dim), size, options)
    parameters = inspect.signature(family.network_class).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    arguments = {**defaults, **given}
    plain = {name: value for name, value in arguments.items() if name not in _START_ONLY}
    return json.loads(json.dumps(plain, default=str))


def _value(entry: Mapping[str, Any], name: str, spec: str) -> Any:
    timm_name = next((theirs for theirs, ours in _OUR_NAMES.items() if ours == name), name)
    return entry.get(name, complete_arguments(spec, entry).get(timm_name, DEFAULT))


def read_description(path: str | Path) -> dict[str, Any] | None:
    """What a checkpoint says of its backbone; None if it does not.

    Raises:
        InputError: it cannot be read.
    """
    checkpoint = read_checkpoint(path)
    said = unwrapped(checkpoint.get("state_dict", checkpoint), path).get(f"backbone.{BUFFER}")
    return None if said is None else from_tensor(said)


def follow_checkpoint(config: Config, given: Iterable[str]) -> list[str]:
    """Make a config of a `SizedModel` build the backbone of the checkpoint that it loads, `load_from`.

    Args:
        config: changed in place.
        given: keys that the user has set: they stay, and if the network is then another one, loading stops.

    Returns:
        Sentences for the log.
    """
    path, model = config.get("load_from"), config.get("model") or {}
    model = model.get("module", model)  # test-time augmentation is a model around it
    if not path or "://" in str(path) or model.get("type") != "poa_bench.SizedModel":
        return []
    said = read_description(path)
    if said is None:
        return []
    backbone, family = model.backbone, parse_spec(said["spec"]).family
    changed = differing(said, _described(backbone, said))
    for name, value in {"spec": said["spec"], **said["levels"]}.items():
        if not _is_given(f"{BACKBONE}.{name}", given):
            backbone[name] = value
    place = f"{BACKBONE}.families.{family}"
    entry = _in_our_names(backbone.families.get(family) or {}, said["spec"])
    kept = {n: v for n, v in entry.items() if n in _TRAINING_ONLY or _is_given(f"{place}.{n}", given)}
    backbone.families[family] = {**said["family"], **kept}
    if not changed:
        return []
    return [f"the backbone is built as {path} says: {', '.join(f'{name}={pair[0]}' for name, pair in changed.items())}"]


def _described(backbone: Mapping[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """`describe` of a backbone's config, as far as it says it itself."""
    spec = parse_spec(backbone["spec"])
    levels = {name: backbone[name] for name in like["levels"] if name in backbone}
    return describe(spec, {spec.family: {}, **backbone["families"]}, **levels)


def _is_given(key: str, given: Iterable[str]) -> bool:
    """Whether a key, or what contains it, has been set."""
    return any(f"{key}.".startswith(f"{each}.") for each in given)

"""What a file says of its network is looked at before anything is built of it: it may come from anywhere."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import NoneType
from typing import Any

from torch import Tensor, device, nn

from poa_bench.elastic.family import Family, get_family
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.elastic.space import SearchSpace, SubnetSpec
from poa_bench.elastic.supernet import Supernet
from poa_bench.errors import InputError

PRETRAINED_CFG = "timm_pretrained_cfg"  # in the metadata of an extracted file
_KINDS: dict[str, tuple[type, ...]] = {  # of `Supernet.describe`
    "space": (dict,),
    "alpha": (bool,),
    "drop_path_uniform": (bool,),
    "position_std": (float, int, NoneType),
    "options": (dict,),
    "preprocessing": (dict, NoneType),
    "version": (str,),
}
_SINCE_LATER = {"preprocessing"}  # files of earlier versions have none
# what constructors of timm raise for arguments of another kind; nothing of it is an error of ours
_UNBUILDABLE = (TypeError, ValueError, ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError)


def build_supernet(description: Any, tensors: Mapping[str, Tensor], path: object) -> Supernet:
    """The supernet of a training checkpoint, with fresh weights.

    Args:
        description: `meta.poa_bench`.
        tensors: of the checkpoint; a network that is larger than they are is not built, whatever it is.
        path: of the checkpoint, for messages.

    Raises:
        InputError: the description is none, or not of these tensors.
    """
    own = {name.removeprefix("network."): one for name, one in tensors.items() if name.startswith("network.")}
    with _building(path):
        space = SearchSpace.from_dict(description["space"])
        skeleton = get_family(space.family).skeleton(space, space.intact, dict(description["options"]))
        _check_shapes(skeleton, own, path)
        return Supernet.from_description(description)


def check_description(description: Any, path: object) -> None:
    """Raise InputError unless this has the parts of `Supernet.describe`, each of its kind."""
    if not isinstance(description, dict):
        raise InputError(f"{path}: meta.poa_bench is {_shown(description)}, not the description of a supernet")
    for name, kinds in _KINDS.items():
        if name not in description and name not in _SINCE_LATER:
            raise InputError(f"{path}: meta.poa_bench lacks {name!r}: it is not the description of a supernet")
        if not isinstance(value := description.get(name), kinds):
            wanted = " or ".join("nothing" if kind is NoneType else kind.__name__ for kind in kinds)
            raise InputError(f"{path}: meta.poa_bench.{name} is {_shown(value)}: it must be {wanted}")
    described_preprocessing(description, path)


def build_extracted(metadata: Mapping[str, str], tensors: Mapping[str, Tensor], path: object) -> nn.Module:
    """The stock timm network that an extracted file describes, with fresh weights.

    Args:
        metadata: of the file.
        tensors: of the file; a network that is larger than they are is not built.
        path: of the file, for messages.

    Raises:
        InputError: it describes none, or one of another size than its `spec`, or not of these tensors.
    """
    if lacking := sorted({"spec", "timm_arguments"} - metadata.keys()):
        raise InputError(
            f"{path} is not an extracted sub-network (its metadata lacks {', '.join(lacking)}): write one with "
            "`poa-bench export`"
        )
    spec = SubnetSpec.parse(metadata["spec"])
    family, arguments = get_family(spec.family), read_json(metadata, "timm_arguments", path)
    with _building(path):
        _check_spec(family, spec, arguments, path)
        with device("meta"):
            skeleton = family.construct(arguments)
        _check_shapes(skeleton, tensors, path)
        return family.construct(arguments)


def read_json(metadata: Mapping[str, str], name: str, path: object) -> dict[str, Any]:
    """An entry of a file's metadata that is a JSON object; raises InputError if it is none."""
    try:
        found = json.loads(metadata[name])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path}: {name} in its metadata is {_shown(metadata[name])}, not a JSON object")
    return found


def preprocessing_of(metadata: Mapping[str, str], path: object) -> Preprocessing | None:
    """How the training behind an extracted file made inputs of pictures; None if its metadata does not say.

    Raises:
        InputError: what it says is of no use.
    """
    if PRETRAINED_CFG not in metadata:
        return None
    values = read_json(metadata, PRETRAINED_CFG, path)
    return _read(lambda: Preprocessing.from_timm_config(values), f"{path}: {PRETRAINED_CFG} in its metadata")


def described_preprocessing(description: Mapping[str, Any], path: object) -> Preprocessing | None:
    """The same of a training checkpoint's `meta.poa_bench`."""
    values = description.get("preprocessing")
    return _read(lambda: Preprocessing.from_dict(values), f"{path}: meta.poa_bench.preprocessing")


def _read(make: Callable[[], Preprocessing | None], what: str) -> Preprocessing | None:
    try:
        return make()
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    except (TypeError, ValueError, LookupError) as error:
        raise InputError(f"{what} does not say how pictures are preprocessed ({_reason(error)})") from error


@contextmanager
def _building(path: object) -> Iterator[None]:
    """Errors of constructors become a sentence with the file's name."""
    try:
        yield
    except InputError:
        raise
    except _UNBUILDABLE as error:
        raise InputError(f"{path} describes a network that cannot be built ({_reason(error)})") from error


def _check_spec(family: Family, spec: SubnetSpec, arguments: dict[str, Any], path: object) -> None:
    size = family.size(arguments)
    if size is not None and size != (spec.width, spec.depths):
        found = SubnetSpec(family.name, *size)
        raise InputError(f"{path} says that it is {spec}, and its timm_arguments build {found}: it was changed")


def _check_shapes(skeleton: nn.Module, tensors: Mapping[str, Tensor], path: object) -> None:
    """Before memory is taken for a network: it may be as large as anybody writes into a file."""
    wanted = {name: tensor.shape for name, tensor in skeleton.state_dict().items()}
    given = {name: tensor.shape for name, tensor in tensors.items()}
    wrong = [name for name in {**wanted, **given} if wanted.get(name) != given.get(name)]
    if wrong:
        name = wrong[0]
        shapes = [list(shapes[name]) if name in shapes else "missing" for shapes in (given, wanted)]
        raise InputError(
            f"{path} does not fit the network it describes: {len(wrong)} tensors differ, {name} is {shapes[0]} in the "
            f"file and {shapes[1]} in the network"
        )


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:80]}..."

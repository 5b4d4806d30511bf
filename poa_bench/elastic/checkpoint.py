"""Files: networks of training checkpoints, extracted sub-networks out and in. No pickle is ever executed."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from poa_bench import __version__
from poa_bench.elastic.branch import Branch, evaluated_branch
from poa_bench.elastic.described import (
    PRETRAINED_CFG,
    build_extracted,
    build_supernet,
    described_preprocessing,
    preprocessing_of,
    read_json,
)
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.elastic.space import SubnetSpec
from poa_bench.elastic.supernet import Supernet
from poa_bench.elastic.training_checkpoint import branch_tensors, read_training_checkpoint
from poa_bench.errors import InputError
from poa_bench.files import atomic_path, existing, sha256_file, unchanged

# not part of a published network's shape
_TRAINING_ONLY = ("drop_path_rate", "weight_init")
_CRC32 = "crc32"  # in the metadata of an extracted file: of its tensors, which safetensors does not check


@dataclass(frozen=True)
class LoadReport:
    """What was loaded into a backbone: tensors loaded of the module's total, from which file."""

    spec: SubnetSpec
    loaded: int
    total: int
    sha256: str
    path: str

    def __str__(self) -> str:
        share = 100 * self.loaded / self.total
        return f"loaded {self.loaded}/{self.total} tensors ({share:.0f} %) of {self.spec} from {self.path}"


def load_supernet(path: str | Path, branch: Branch | None = None) -> Supernet:
    """Build the supernet that a training checkpoint describes, with its weights; no config is needed.

    Args:
        path: a mmengine checkpoint of a poa_bench pre-training.
        branch: which network of it: the EMA `teacher` or the `student`; where mmengine's EMAHook averaged them,
            `-unaveraged` takes the weights before it. None: the one that its objective evaluates, POA the teacher.

    Raises:
        InputError: the file or the branch is not there, is damaged, or its tensors do not fit.
    """
    with unchanged(path):
        checkpoint = read_training_checkpoint(path)
        tensors = branch_tensors(checkpoint, branch or evaluated_branch(checkpoint), path)
        supernet = build_supernet(checkpoint["meta"]["poa_bench"], tensors, path)
        load_strictly(supernet, tensors, path)
        supernet.source_sha256 = sha256_file(path)
    return supernet.eval()


def save_subnet(
    supernet: Supernet, spec: SubnetSpec, path: str | Path, source_sha256: str, branch: str = "teacher"
) -> nn.Module:
    """Cut one size into a safetensors file with timm's own tensor names; written whole or not at all.

    The metadata holds `spec`, `source_sha256`, `branch`, `timm_class`, `timm_arguments` (JSON), `version`, `crc32`,
    `timm_architecture` if timm's registry has a name for exactly this size, `timm_image_sides` (JSON) if timm's own
    class computes the same for images with these sides only (Swin; in pixels, up to 1024), and, where the training's
    preprocessing is known, `timm_pretrained_cfg` (JSON): mean, deviation, size, crop and interpolation, as timm keeps
    them.

    Returns:
        The module that was written.
    """
    module = supernet.extract(spec)
    metadata = {
        "spec": str(spec),
        "source_sha256": source_sha256,
        "branch": branch,
        "timm_class": supernet.family.network_class.__name__,
        "timm_arguments": json.dumps(timm_arguments(supernet, spec)),
        "version": __version__,
    }
    if architecture := timm_architecture(supernet, spec, module):
        metadata["timm_architecture"] = architecture
    if (sides := supernet.family.timm_sides(module)) is not None:
        metadata["timm_image_sides"] = json.dumps(sides)
    if supernet.preprocessing is not None:
        metadata[PRETRAINED_CFG] = json.dumps(supernet.preprocessing.timm_config())
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    metadata[_CRC32] = _check_sum(tensors)
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata)
        _sort_metadata(temporary)
    return module


def _check_sum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 over the names and bytes of all tensors in alphabetical order, 8 hex digits (some 3 GB/s)."""
    found = 0
    for name in sorted(tensors):
        flat = tensors[name].contiguous().reshape(-1)
        found = zlib.crc32(flat.view(torch.uint8).numpy(), zlib.crc32(name.encode(), found))
    return f"{found:08x}"


def _sort_metadata(path: Path) -> None:
    """Put a safetensors file's metadata in order: the library writes them in a random one, each time another."""
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise ValueError(f"the header of {path} is {length} bytes long, and in order {len(text)}")
        file.seek(8)
        file.write(text.ljust(length))


def timm_arguments(supernet: Supernet, spec: SubnetSpec) -> dict[str, Any]:
    """Constructor arguments of one size as a published network, in plain values."""
    options = {name: value for name, value in supernet.options.items() if name not in _TRAINING_ONLY}
    arguments = supernet.family.arguments(supernet.space, spec, options)
    return {**arguments, "num_classes": 0, "global_pool": supernet.family.pool}


def timm_architecture(supernet: Supernet, spec: SubnetSpec, module: nn.Module) -> str | None:
    """timm's registered name of exactly this size, or None: same tensors when built for our image size."""
    name = supernet.family.architectures.get(spec.alias or "")
    if name is None:
        return None
    options = {key: supernet.options[key] for key in ("img_size", "init_values") if key in supernet.options}
    with torch.device("meta"):
        registered = timm.create_model(name, num_classes=0, **options)
    return name if _shapes(registered) == _shapes(module) else None


def timm_difference(supernet: Supernet, spec: SubnetSpec) -> str:
    """A sentence, if timm's own class computes the same for images of some sizes only; else nothing."""
    if (sides := supernet.family.timm_sides(supernet.skeleton(spec))) is None:
        return ""
    exact = f"for images with sides of {', '.join(map(str, sides))} px only" if sides else "for no image size"
    return (
        f"timm's own class computes the same {exact}, as it shifts windows before it pads; for every "
        "size, load the file with poa_bench.elastic.load_subnet"
    )


def preprocessing_remark(supernet: Supernet) -> str:
    """What to say where files cannot tell how pictures are to be preprocessed; else nothing."""
    if supernet.preprocessing is not None:
        return ""
    return (
        "the checkpoint, of an older version, does not say how its training preprocessed pictures, so that what is "
        "written does not either (timm takes ImageNet's mean and deviation then): `poa-bench export` has --mean, --std"
    )


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file; no tensor is read.

    Raises:
        InputError: no such file, or another kind of file.
    """
    path = existing(path)
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error


def load_subnet(path: str | Path) -> tuple[nn.Module, dict[str, str]]:
    """Load an extracted file into the stock timm network that its metadata describes.

    Returns:
        The module in eval mode, with timm's `pretrained_cfg` where the file says how pictures are preprocessed, and
        the file's metadata.

    Raises:
        InputError: no such file, a damaged one, not an extracted sub-network, of an unknown family, or its tensors do
            not fit.
    """
    metadata, tensors = read_extracted(path)
    module = build_extracted(metadata, tensors, path)
    load_strictly(module, tensors, path)
    if preprocessing_of(metadata, path) is not None:
        module.pretrained_cfg = read_json(metadata, PRETRAINED_CFG, path)
    return module.eval(), metadata


def read_extracted(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of an extracted file; files of earlier versions have no check sum.

    Raises:
        InputError: no such file, another kind of file, or one whose tensors were changed.
    """
    metadata, tensors = read_metadata(path), safetensors.torch.load_file(path)
    if (said := metadata.get(_CRC32)) is not None and said != (found := _check_sum(tensors)):
        raise InputError(f"{path} is damaged: the check sum of its tensors is {found}, not {said}; export it again")
    return metadata, tensors


def read_preprocessing(path: str | Path) -> Preprocessing | None:
    """How the training behind a checkpoint or an extracted file made inputs of pictures; None if it does not say.

    Raises:
        InputError: no such file, or another kind of file.
    """
    if Path(path).suffix != ".safetensors":
        return described_preprocessing(read_training_checkpoint(path)["meta"]["poa_bench"], path)
    return preprocessing_of(read_metadata(path), path)


def load_backbone(
    path: str | Path, spec: SubnetSpec | str | None = None, branch: Branch | None = None
) -> tuple[nn.Module, LoadReport]:
    """The stock timm module of one size, from a supernet's training checkpoint or from an extracted file.

    Args:
        path: `.safetensors` is read as an extracted file, anything else as a training checkpoint.
        spec: the size; needed for a checkpoint, checked against the file otherwise.
        branch: which network of a training checkpoint, see `load_supernet`.

    Raises:
        InputError: as `load_supernet` and `load_subnet`, or the spec is missing or not the file's.
    """
    spec = SubnetSpec.parse(spec) if spec is not None else None
    if Path(path).suffix == ".safetensors":
        with unchanged(path):
            module, metadata = load_subnet(path)
            sha256 = sha256_file(path)
        found = SubnetSpec.parse(metadata["spec"])
        if spec not in (None, found):
            raise InputError(f"{path} holds {found}, not {spec}: name that spec or give another file")
    else:
        if spec is None:
            raise InputError(f"{path} is a supernet: say which size to cut, for example spec=vit-w384-d12")
        supernet = load_supernet(path, branch)
        module, found, sha256 = supernet.extract(spec), spec, supernet.source_sha256
    total = len(module.state_dict())
    return module, LoadReport(found, total, total, sha256, str(path))


def check_numbers(module: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Weights that nobody should take.

    Raises:
        InputError: a tensor holds NaN or infinity, or another kind of number than the module's of that name.
    """
    own = module.state_dict()
    for name, tensor in tensors.items():
        if name in own and own[name].is_floating_point() != tensor.is_floating_point():
            kinds = f"{tensor.dtype} instead of {own[name].dtype}".replace("torch.", "")
            raise InputError(f"{path}: the numbers of {name} are {kinds}; give a file with the weights as trained")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(
                f"{path}: {name} holds NaN or infinity, with which nothing can be computed; give an earlier checkpoint"
            )


def load_strictly(module: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """All tensors or none; raises InputError if they are not the module's, or as `check_numbers`."""
    check_numbers(module, tensors, path)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise InputError(f"{path} does not fit the network it describes: {error}") from error


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}

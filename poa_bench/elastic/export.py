"""Exports: one size of a supernet, or all of them, as files that other libraries load without poa_bench."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from rich.progress import track
from timm.models import save_for_hf
from torch import nn

from poa_bench.elastic.branch import Branch, evaluated_branch
from poa_bench.elastic.checkpoint import (
    load_supernet,
    preprocessing_remark,
    read_extracted,
    save_subnet,
    timm_architecture,
    timm_arguments,
    timm_difference,
)
from poa_bench.elastic.described import PRETRAINED_CFG
from poa_bench.elastic.export_mmpretrain import equal_for, mmpretrain_backbone, mmpretrain_inputs
from poa_bench.elastic.preprocessing import Preprocessing, differing, from_full_range
from poa_bench.elastic.space import SubnetSpec
from poa_bench.elastic.supernet import Supernet
from poa_bench.elastic.training_checkpoint import read_training_checkpoint
from poa_bench.errors import InputError
from poa_bench.files import atomic_path, remove_leftovers

_ONNX_TOLERANCE = 1e-4
_ONNX_BATCHES = (1, 3)


def export_file(
    checkpoint: str | Path,
    spec: str,
    target: str,
    output: str | Path,
    branch: Branch | None = None,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> str:
    """Write one size of a pre-training in the format of another library.

    Args:
        checkpoint: a training checkpoint.
        spec: the size, as text or alias.
        target: `timm` (.safetensors), `mmpretrain` (.pth), `hf` (a folder) or `onnx` (.onnx).
        output: file or folder to write; whole or not at all.
        branch: which network of the checkpoint, see `load_supernet`.
        image_size: side in pixels of the images that `onnx` takes and the files name; None: that of pre-training, or
            224 where it is not known.
        mean, std: of the training's images in units of the full range, for checkpoints that do not say them.

    Returns:
        What was written, and how to load it.

    Raises:
        InputError: the checkpoint cannot be read, the spec is outside its space, `output` does not suit the target, or
            the target cannot express the network exactly, or the network was built for images of another size or
            trained with another normalisation.
    """
    check_output(target, output)
    branch = branch or evaluated_branch(read_training_checkpoint(checkpoint))
    supernet = load_supernet(checkpoint, branch)
    return export_size(supernet, spec, target, output, branch, image_size, mean, std)


def export_size(
    supernet: Supernet,
    spec: str | SubnetSpec,
    target: str,
    output: str | Path,
    branch: str,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> str:
    """As `export_file`, of a supernet that was read from a file and is called `branch` there."""
    check_output(target, output)
    output, spec = Path(output), supernet.space.parse(spec)
    size = _image_size(supernet, image_size)
    supernet.preprocessing = _preprocessing(supernet, size, mean, std)
    write = _TARGETS[target][1]
    if target == "timm":
        usage = write(supernet, spec, output, source_sha256=supernet.source_sha256, branch=branch)
    else:
        usage = write(supernet, spec, output, size)
    parameters = sum(parameter.numel() for parameter in supernet.skeleton(spec).parameters())
    written = f"wrote {output}: {spec} of the {branch}, {parameters:,} parameters"
    difference = timm_difference(supernet, spec) if target in ("timm", "hf") else ""
    return "\n".join(filter(None, [written, difference, preprocessing_remark(supernet), usage]))


def check_output(target: str, output: str | Path) -> None:
    """Raise InputError if a file or folder of this name does not suit the target."""
    suffix = _TARGETS[target][0]
    if Path(output).suffix != suffix:
        raise InputError(f"cannot write {output} for {target}: give a {f'name with {suffix}' if suffix else 'folder'}")


def _preprocessing(
    supernet: Supernet, size: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Preprocessing | None:
    """The training's, at the size that the files are for; None where neither the checkpoint nor the user says it."""
    given = {name: from_full_range(values) for name, values in (("mean", mean), ("std", std)) if values}
    known = supernet.preprocessing
    if known and (other := differing(given, known.to_dict())):
        raise InputError(f"the checkpoint was trained with another normalisation: {other}, of 255; leave it out")
    if known is None and len(given) == 1:
        raise InputError(f"only --{[*given][0]} is given: this checkpoint does not say how it was trained, give both")
    return replace(known or Preprocessing(**given), image_size=size) if known or given else None


def export_all(
    checkpoint: str | Path,
    directory: str | Path,
    branch: Branch | None = None,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> str:
    """Write every size of a checkpoint's space for timm, as `directory/SPEC.safetensors`.

    Only the supernet and one size are in memory at a time. Files that are there already and whole are kept, so that an
    interrupted export goes on where it stopped; damaged ones are written again, and half a file, which only a killed
    export leaves, is removed.

    Args:
        checkpoint, branch, image_size, mean, std: see `export_file`.
        directory: where to.

    Returns:
        A sentence with the numbers of files written and kept.

    Raises:
        InputError: the checkpoint cannot be read, or a file in the directory is of another checkpoint or branch.
    """
    branch = branch or evaluated_branch(read_training_checkpoint(checkpoint))
    supernet = load_supernet(checkpoint, branch)
    supernet.preprocessing = _preprocessing(supernet, _image_size(supernet, image_size), mean, std)
    files = {spec: Path(directory, f"{spec}.safetensors") for spec in supernet.space}
    remove_leftovers(directory, "*.safetensors")
    same = {"source_sha256": supernet.source_sha256, "branch": branch}
    if supernet.preprocessing:
        same[PRETRAINED_CFG] = json.dumps(supernet.preprocessing.timm_config())
    missing = [spec for spec, path in files.items() if not _is_finished(path, {"spec": str(spec), **same})]
    for spec in track(missing, description=f"exporting to {directory}"):
        save_subnet(supernet, spec, files[spec], supernet.source_sha256, branch)
    kept = len(files) - len(missing)
    written = f"{directory}: wrote {len(missing)} of {len(files)} sizes, {kept} were there already"
    return "\n".join(filter(None, [written, preprocessing_remark(supernet)]))


def _is_finished(path: Path, expected: dict[str, str]) -> bool:
    try:
        metadata, _ = read_extracted(path)
    except InputError:  # it is not there, or damaged: it is written
        return False
    if any(metadata.get(key) != value for key, value in expected.items()):
        raise InputError(
            f"{path} comes from another checkpoint, branch or preprocessing: give another folder, or remove it"
        )
    return True


def _to_timm(supernet: Supernet, spec: SubnetSpec, output: Path, **source: Any) -> str:
    save_subnet(supernet, spec, output, **source)
    arguments = timm_arguments(supernet, spec)
    try:
        arguments = supernet.family.registry_arguments(arguments)
    except InputError as error:  # only the class can build it
        return f"load it with its class and the metadata's timm_arguments ({error})"
    name = _registered_name(supernet, spec)
    # timm reads no metadata of a file; with a `pretrained_cfg` it also puts a new classifier on the network
    call = [repr(name), "pretrained=True", *(f"{key}={value!r}" for key, value in arguments.items())]
    call.append(f"pretrained_cfg={dict(file=str(output), **_timm_config(supernet, name))}")
    return f"load it with\n  timm.create_model({', '.join(call)})"


def _to_hf(supernet: Supernet, spec: SubnetSpec, output: Path, size: int) -> str:
    arguments = supernet.family.registry_arguments(timm_arguments(supernet, spec))
    sides = supernet.family.timm_sides(supernet.skeleton(spec))
    if sides is not None and size not in sides:
        raise InputError(f"{timm_difference(supernet, spec)}: export this network of {size} px to timm or onnx")
    name = _registered_name(supernet, spec)
    config = {"architecture": name, "input_size": (3, size, size), **_timm_config(supernet, name)}
    with torch.device("meta"):
        network = timm.create_model(name, pretrained_cfg=config, **arguments)
    network.load_state_dict(supernet.extract(spec).state_dict(), strict=True, assign=True)
    if output.exists():
        raise InputError(f"{output} exists: give another folder, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        save_for_hf(network, str(temporary), safe_serialization=True)
        temporary.chmod(0o755)
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return f"load it with\n  timm.create_model('local-dir:{output}', pretrained=True)"


def _timm_config(supernet: Supernet, name: str) -> dict[str, Any]:
    """What timm is to know of the weights; its registered configuration is of somebody else's training.

    From that one are only the names of the first and of the last layer, which timm replaces where a user asks for other
    numbers of channels and classes.
    """
    registered = timm.get_pretrained_cfg(name)
    layers = {"num_classes": 0, "first_conv": registered.first_conv, "classifier": registered.classifier}
    return {**layers, **(supernet.preprocessing.timm_config() if supernet.preprocessing else {})}


def _to_mmpretrain(supernet: Supernet, spec: SubnetSpec, output: Path, size: int) -> str:
    arguments = timm_arguments(supernet, spec)
    network = supernet.extract(spec)
    config, tensors = mmpretrain_backbone(spec, arguments, network)
    inputs = mmpretrain_inputs(supernet.preprocessing) if supernet.preprocessing else {}
    with atomic_path(output) as temporary, open(temporary, "wb") as file:  # torch would write the name into it
        torch.save({"state_dict": tensors, "meta": {"spec": str(spec), "backbone": config, **inputs}}, file)
    config["init_cfg"] = {"type": "Pretrained", "checkpoint": str(output)}
    lines = "".join(f"    {name}={value!r},\n" for name, value in config.items())
    pictures = "".join(f"  {name}={value!r},\n" for name, value in inputs.items())
    return f"use it in a config (equal outputs for {equal_for(spec, size)})\n{pictures}  backbone=dict(\n{lines}  )"


def _to_onnx(supernet: Supernet, spec: SubnetSpec, output: Path, size: int) -> str:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise InputError(f"exporting to onnx needs {', '.join(missing)}: pip install 'poa_bench[export]'")
    module = supernet.extract(spec).eval()
    with atomic_path(output) as temporary:
        program = torch.onnx.export(
            module,
            (torch.zeros(2, 3, size, size),),
            input_names=["images"],
            output_names=["features"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
        if supernet.preprocessing is not None:
            facts = supernet.preprocessing.timm_config()
            program.model.metadata_props.update({name: json.dumps(value) for name, value in facts.items()})
        program.save(temporary, external_data=False)
        error = _onnx_error(module, temporary, size)
        if error > _ONNX_TOLERANCE:
            raise InputError(f"onnxruntime computes {spec} with an error of {error:.1e}: nothing was written")
    return (
        f"checked with onnxruntime, largest relative error {error:.1e}; input 'images' (batch, 3, {size}, {size}), "
        f"output 'features' (batch, {module.num_features})"
        + ("; its metadata says how pictures are preprocessed" if supernet.preprocessing else "")
    )


def _onnx_error(module: nn.Module, path: Path, size: int) -> float:
    """Largest difference between onnxruntime and torch over some batch sizes, as a share of the largest feature."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    errors = []
    for batch in _ONNX_BATCHES:
        images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(batch))
        (features,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            expected = module(images)
        errors.append(float((torch.from_numpy(features) - expected).abs().max() / expected.abs().max()))
    return max(errors)


def _registered_name(supernet: Supernet, spec: SubnetSpec) -> str:
    """A name for `timm.create_model`: the size's own if there is one, or another of the family."""
    return timm_architecture(supernet, spec, supernet.skeleton(spec)) or next(
        iter(supernet.family.architectures.values())
    )


def _image_size(supernet: Supernet, wanted: int | None) -> int:
    """Convolutions take any size; a network with positions or windows is exported for that of its pre-training."""
    built_for = supernet.options.get("img_size")
    if wanted and built_for and wanted != built_for:
        raise InputError(f"--image-size is {wanted}, but this network is built for {built_for} px: leave it out")
    return wanted or supernet.image_size or 224


_TARGETS: dict[str, tuple[str, Callable[..., str]]] = {
    "timm": (".safetensors", _to_timm),
    "mmpretrain": (".pth", _to_mmpretrain),
    "hf": ("", _to_hf),
    "onnx": (".onnx", _to_onnx),
}

"""Files for other libraries: one size of a pre-training, or the backbone of a model that was trained from ours."""

from pathlib import Path
from typing import Any

from poa_bench.downstream.description import BUFFER, from_tensor, space_of
from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.elastic.branch import Branch
from poa_bench.elastic.checkpoint import load_strictly
from poa_bench.elastic.export import check_output, export_file, export_size
from poa_bench.elastic.preprocessing import Preprocessing, say_once
from poa_bench.elastic.training_checkpoint import check_whole, read_checkpoint, unwrapped
from poa_bench.errors import InputError
from poa_bench.files import sha256_file, unchanged

_NETWORK = "backbone.network."
_PREPROCESSOR = "data_preprocessor."


def export(
    checkpoint: str | Path,
    spec: str | None,
    target: str,
    output: str | Path,
    branch: Branch | None = None,
    **inputs: Any,
) -> str:
    """Write one size of a pre-training, or the backbone of a fine-tuned model, in the format of another library.

    Args:
        checkpoint: of either training; the second kind has one size, and needs no `spec`.
        spec: the size.
        target, output: see `export_file`.
        branch: of a pre-training, see `load_supernet`.
        inputs: `image_size`, `mean` and `std` of `export_file`.

    Returns:
        Sentences that say what was written.

    Raises:
        InputError: as `export_file`, or the spec or the branch is missing or not the checkpoint's.
    """
    check_output(target, output)
    supernet = fine_tuned_backbone(checkpoint)
    if supernet is None:
        if spec is None:
            raise InputError(f"{checkpoint} has many sizes: give one of them, such as vit-w384-d12, or --all")
        return export_file(checkpoint, spec, target, output, branch, **inputs)
    if branch is not None:
        raise InputError(f"{checkpoint} holds a fine-tuned model, which has no {branch}: leave --branch out")
    size = supernet.space.parse(spec) if spec else supernet.space.intact
    said = supernet.preprocessing is not None
    written = export_size(supernet, size, target, output, "fine-tuned backbone", **inputs)
    remark = "\nmean and deviation are the training's; of size, interpolation and crop its checkpoint says nothing"
    return written + remark * said


def fine_tuned_backbone(path: str | Path) -> Supernet | None:
    """The backbone of a fine-tuned model as a supernet of its one size; None for the checkpoint of a pre-training.

    Raises:
        InputError: it cannot be read, or its tensors are not those of the network that it describes.
    """
    with unchanged(path):
        checkpoint = read_checkpoint(path)
        state = unwrapped(checkpoint.get("state_dict", checkpoint), path)
        if (said := state.get(f"backbone.{BUFFER}")) is None:
            return None
        check_whole(path)
        if "ema_state_dict" in checkpoint:
            say_once(f"{path}: the averages of mmengine's EMAHook are taken")
        description = from_tensor(said)
        options = dict(description["family"])
        space = space_of(SubnetSpec.parse(description["spec"]), options.pop("head_dim", None))
        supernet = Supernet(space, **options)
        tensors = {name.removeprefix(_NETWORK): value for name, value in state.items() if name.startswith(_NETWORK)}
        load_strictly(supernet.network, tensors, path)
        supernet.preprocessing = _preprocessing(state, supernet)
        supernet.source_sha256 = sha256_file(path)
    return supernet.eval()


def _preprocessing(state: dict[str, Any], supernet: Supernet) -> Preprocessing | None:
    """Mean and deviation as the model keeps them; pictures resized as OpenMMLab does by default, and seen whole."""
    if f"{_PREPROCESSOR}mean" not in state:
        return None
    values = {name: tuple(state[f"{_PREPROCESSOR}{name}"].flatten().tolist()) for name in ("mean", "std")}
    return Preprocessing(**values, image_size=supernet.image_size or 224, interpolation="bilinear", crop_share=1.0)

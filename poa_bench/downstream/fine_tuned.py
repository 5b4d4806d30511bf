"""The backbone of a detector, segmentor or classifier that was trained from ours, as an extracted file."""

from pathlib import Path
from typing import Any

from poa_bench.downstream.description import BUFFER, from_tensor, space_of
from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.elastic.branch import DEFAULT_BRANCH, Branch
from poa_bench.elastic.checkpoint import extract_file, load_strictly, write_extracted
from poa_bench.elastic.preprocessing import Preprocessing, say_once
from poa_bench.elastic.training_checkpoint import read_checkpoint, unwrapped
from poa_bench.errors import InputError

_NETWORK = "backbone.network."
_PREPROCESSOR = "data_preprocessor."


def extract(checkpoint: str | Path, spec: str | None, output: str | Path, branch: Branch = DEFAULT_BRANCH) -> str:
    """Write one size of a pre-training, or the backbone of a fine-tuned model, as a safetensors file.

    Args:
        checkpoint: of either training; the second kind has one size, and needs no `spec`.
        spec: the size.
        output: the file.
        branch: of a pre-training.

    Returns:
        Sentences that say what was written.

    Raises:
        InputError: as `extract_file`, or the spec or the branch is missing or not the checkpoint's.
    """
    supernet = fine_tuned_backbone(checkpoint)
    if supernet is None:
        if spec is None:
            raise InputError(f"{checkpoint} has many sizes: say which one to cut, such as vit-w384-d12")
        return extract_file(checkpoint, spec, output, branch)
    if branch != DEFAULT_BRANCH:
        raise InputError(f"{checkpoint} is of a fine-tuned model, which has no {branch}: leave --branch out")
    size = supernet.space.parse(spec) if spec else supernet.space.intact
    written = write_extracted(supernet, size, output, checkpoint, "fine-tuned backbone")
    if supernet.preprocessing is None:
        return written
    return (
        f"{written}\nmean and deviation are the training's; of size, interpolation and crop its checkpoint says nothing"
    )


def fine_tuned_backbone(path: str | Path) -> Supernet | None:
    """The backbone of a fine-tuned model as a supernet of its one size; None for the checkpoint of a pre-training.

    Raises:
        InputError: it cannot be read, or its tensors are not those of the network that it describes.
    """
    checkpoint = read_checkpoint(path)
    state = unwrapped(checkpoint.get("state_dict", checkpoint), path)
    if (said := state.get(f"backbone.{BUFFER}")) is None:
        return None
    if "ema_state_dict" in checkpoint:
        say_once(f"{path}: the averages of mmengine's EMAHook are taken")
    description = from_tensor(said)
    options = dict(description["family"])
    space = space_of(SubnetSpec.parse(description["spec"]), options.pop("head_dim", None))
    supernet = Supernet(space, **options)
    tensors = {name.removeprefix(_NETWORK): value for name, value in state.items() if name.startswith(_NETWORK)}
    load_strictly(supernet.network, tensors, path)
    supernet.preprocessing = _preprocessing(state, supernet)
    return supernet.eval()


def _preprocessing(state: dict[str, Any], supernet: Supernet) -> Preprocessing | None:
    """Mean and deviation as the model keeps them; pictures resized as OpenMMLab does by default, and seen whole."""
    if f"{_PREPROCESSOR}mean" not in state:
        return None
    values = {name: tuple(state[f"{_PREPROCESSOR}{name}"].flatten().tolist()) for name in ("mean", "std")}
    return Preprocessing(**values, image_size=supernet.image_size or 224, interpolation="bilinear", crop_share=1.0)

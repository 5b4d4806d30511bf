"""Which networks: the architecture of a supernet, from a checkpoint or a config, and which of its sizes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from poa_bench.config_files import read_config
from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet, training_checkpoint
from poa_bench.elastic.branch import DEFAULT_BRANCH, Branch, evaluated_branch
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.elastic.training_checkpoint import compute_facts, read_training_checkpoint
from poa_bench.errors import InputError
from poa_bench.registry import MODELS, TRANSFORMS


def is_config(source: str | Path) -> bool:
    """Whether this names a config rather than a checkpoint."""
    return Path(source).suffix == ".py"


def read_architecture(source: str | Path) -> dict[str, Any]:
    """`Supernet.describe()` of a training checkpoint, or of the backbone in a pre-training config (path or name).

    Raises:
        InputError: it is neither.
    """
    if not is_config(source):
        return read_training_checkpoint(source)["meta"]["poa_bench"]
    config = read_config(source)
    backbone = config.get("model", {}).get("backbone", {})
    if backbone.get("type") != "poa_bench.Supernet":
        raise InputError(
            f"{source} is not a pre-training config: its model.backbone is {backbone.get('type')!r}, not "
            "'poa_bench.Supernet'"
        )
    supernet = Supernet(**{name: value for name, value in backbone.to_dict().items() if name != "type"})
    supernet.preprocessing = _preprocessing(config, supernet.image_size)
    return supernet.describe()


def _preprocessing(config: Config, image_size: int | None) -> Preprocessing | None:
    """What a training with this config would do with its pictures, without opening any."""
    preprocessor = config.model.get("data_preprocessor")
    if preprocessor is None:
        return None
    dataset = config.get("train_dataloader", {}).get("dataset", {})
    while "pipeline" not in dataset and (inner := dataset.get("dataset") or dataset.get("datasets")):
        dataset = inner if isinstance(inner, dict) else inner[0]
    transforms = [TRANSFORMS.build(transform) for transform in dataset.get("pipeline", ())]
    return MODELS.build(preprocessor).describe(transforms, image_size)


def pretraining_seed(source: str | Path) -> int | None:
    """The seed that a training checkpoint says it was trained with; None for a config, and where none is said.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    return None if is_config(source) else training_checkpoint.pretraining_seed(source)


def pretraining_compute(source: str | Path) -> dict[str, float]:
    """What a training checkpoint says that it has cost, as facts of results; nothing of a config.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    return {} if is_config(source) else compute_facts(read_training_checkpoint(source)["meta"].get("compute") or {})


def default_branch(source: str | Path) -> Branch:
    """The branch of a training checkpoint that is evaluated where nobody asks for another; a config has none yet.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    return DEFAULT_BRANCH if is_config(source) else evaluated_branch(read_training_checkpoint(source))


def choose_specs(space: SearchSpace, wanted: str | Sequence[str]) -> list[SubnetSpec]:
    """Sizes of a space: 'all', 'named' (those with an alias), or a list of specs, aliases and 'smallest' to 'intact'.

    'middle' has the middle one of the widths and of the depths.

    Raises:
        InputError: a name is none of these, or outside the space.
    """
    if isinstance(wanted, str):
        return [spec for spec in space if wanted == "all" or spec.alias]
    return list(dict.fromkeys(_choose(space, name) for name in wanted))


def _choose(space: SearchSpace, name: str) -> SubnetSpec:
    if name in ("smallest", "intact"):
        return getattr(space, name)
    if name == "middle":
        width, *depths = (values[len(values) // 2] for values in (space.widths, *space.depths))
        return SubnetSpec(space.family, width, tuple(depths))
    return space.parse(name)

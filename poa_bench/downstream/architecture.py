"""The architecture of a supernet, from a training checkpoint or from a pre-training config that was never run."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from poa_bench.config_files import find_config
from poa_bench.elastic import Supernet
from poa_bench.elastic.checkpoint import read_training_checkpoint
from poa_bench.errors import InputError


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
    config = Config.fromfile(source if Path(source).is_file() else find_config(str(source)))
    backbone = config.get("model", {}).get("backbone", {})
    if backbone.get("type") != "poa_bench.Supernet":
        raise InputError(
            f"{source} is no pre-training config: its model.backbone is {backbone.get('type')!r}, not "
            "'poa_bench.Supernet'"
        )
    return Supernet(**{name: value for name, value in backbone.to_dict().items() if name != "type"}).describe()

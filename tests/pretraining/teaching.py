"""A teacher's checkpoint, and other implementations' numbers of what is learned from one."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from poa_bench.elastic import Supernet
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.pretraining.heads import ProjectionHead
from poa_bench.pretraining.objective import Branch
from tests.conftest import golden
from tests.pretraining.tiny import SPACE

NETWORK = {"space": SPACE, "image_size": 32, "patch_size": 8}
BACKBONE = {"type": "poa_bench.Supernet", **NETWORK}
HEAD = {"prototypes": [16, 24], "hidden_features": 32, "bottleneck_features": 12}
GREY = Preprocessing(mean=(127.5,) * 3, std=(63.75,) * 3, image_size=32)


def numbers(name: str) -> dict:
    with np.load(golden(f"baselines/{name}.npz"), allow_pickle=False) as archive:
        return {key: torch.from_numpy(archive[key]) for key in archive if key != "meta_json"}


def of(width: int, channels: int | None = None) -> SimpleNamespace:
    """What a head asks of its teacher when it is built."""
    return SimpleNamespace(width=width, channels=channels or width)


def write_teacher(folder: Path, seed: int = 5) -> Path:
    """The checkpoint of a POA pre-training, as far as its teacher is concerned; every tensor random."""
    torch.manual_seed(seed)
    supernet = Supernet(**NETWORK)
    supernet.preprocessing = GREY
    branch = Branch(supernet, ProjectionHead(64, **HEAD))
    with torch.no_grad():
        for parameter in branch.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    folder.mkdir(exist_ok=True)
    path = folder / "iter_1.pth"
    meta = {"poa_bench": supernet.describe(), "objective": {"evaluated_branch": "teacher"}}
    tensors = {f"teacher.{name}": tensor for name, tensor in branch.state_dict().items()}
    torch.save({"meta": meta, "state_dict": tensors}, path)
    return path


def rebuilt(checkpoint: Path) -> Branch:
    """The same branch without any of the code that is tested."""
    branch = Branch(Supernet(**NETWORK), ProjectionHead(64, **HEAD))
    tensors = torch.load(checkpoint, weights_only=True)["state_dict"]
    branch.load_state_dict({name.removeprefix("teacher."): tensor for name, tensor in tensors.items()})
    return branch.eval()

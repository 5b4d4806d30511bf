"""A tiny supernet in a training checkpoint, as mmengine would have left it."""

import pytest
import torch

from poa_bench.elastic import SearchSpace, Supernet


def save_checkpoint(path, seed=0, widths=(32, 48), depths=(2, 3, 4)):
    """Write a checkpoint of a freshly initialised ViT supernet for 32 px images."""
    torch.manual_seed(seed)
    space = SearchSpace.vit(widths=widths, depths=depths, head_dim=16)
    net = Supernet(space, image_size=32, patch_size=8, init_values=1e-5)
    tensors = {f"{b}.backbone.{n}": t for b in ("student", "teacher") for n, t in net.state_dict().items()}
    torch.save({"state_dict": tensors, "meta": {"poa_bench": net.describe()}}, path)
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """6 sizes."""
    return str(save_checkpoint(tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth"))

"""A tiny supernet in a training checkpoint, as mmengine would have left it."""

import pytest
import torch

from poa_bench.elastic import SearchSpace, Supernet


def save_checkpoint(path, seed=0, widths=(32, 48), depths=(2, 3, 4), store=True):
    """Write a checkpoint of a freshly initialised ViT supernet for 32 px images; without tensors if not `store`."""
    torch.manual_seed(seed)
    space = SearchSpace("vit", widths=widths, depths=depths, head_dim=16)
    with torch.device("cpu" if store else "meta"):
        net = Supernet(space, image_size=32, patch_size=8, init_values=1e-5)
    tensors = {f"{b}.backbone.{n}": t for b in ("student", "teacher") for n, t in net.state_dict().items()}
    torch.save({"state_dict": tensors if store else {}, "meta": {"poa_bench": net.describe()}}, path)
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """6 sizes."""
    return str(save_checkpoint(tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth"))


FEW_IMAGES = """
evaluation = dict(
    name="few-digits", image_size=32,
    train=dict(type="poa_bench.DigitsClassification", split="train", indices=[*range(0, 1000, 8)]),
    val=dict(type="poa_bench.DigitsClassification", split="val", indices=[*range(0, 400, 8)]),
    test=dict(type="poa_bench.DigitsClassification", split="test", indices=[*range(0, 400, 8)]),
)
"""


@pytest.fixture(scope="session")
def few_images(tmp_path_factory):
    """The path of an evaluation config: real digits, so few that a run takes a fraction of a second."""
    path = tmp_path_factory.mktemp("data") / "evaluation_few.py"
    path.write_text(FEW_IMAGES)
    return str(path)

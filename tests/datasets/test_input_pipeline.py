"""The benchmark compares like with like: the same views by all ways."""

import torch
from torchvision import transforms
from torchvision.transforms import v2

from benchmarks.input_pipeline import device_milliseconds, made_jpegs, our_pipeline, rates, usual_pipeline


def test_all_ways_cut_the_same_views():
    jpegs = made_jpegs(2)
    ways = {
        "pil": usual_pipeline(transforms, 32, 16),
        "v2": usual_pipeline(v2, 32, 16),
        "worker": our_pipeline(32, 16, False),
        "device": our_pipeline(32, 16, True),
    }
    plain = ways["pil"](jpegs)
    for name in ("v2", "worker", "device"):
        views = ways[name](jpegs)
        if name != "v2":
            views = [*views["global_crops"].split(2), *views["local_crops"].split(2)]
        assert [view.shape for view in views] == [view.shape for view in plain]
        assert {view.dtype for view in [*views, *plain]} == {torch.uint8}
    found = rates(ways, jpegs, rounds=1)
    assert found.keys() == ways.keys() and all(values[0] > 0 for values in found.values())
    assert device_milliseconds(ways["device"], jpegs, "cpu") > 0

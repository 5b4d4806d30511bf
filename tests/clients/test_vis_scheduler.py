"""mmpretrain's `vis_scheduler` draws the schedules of the pre-training configs as they are defined."""

import json
import math

import pytest

from poa_bench.config_files import find_config
from tests.clients.test_logs import call, mim, script

pytest.importorskip("mmpretrain")
SCRIPT = script("mmpretrain", "visualization/vis_scheduler.py")
EPOCH, FEW = 20, 2  # iterations of an epoch


def drawn(tmp_path, config, parameter, pictures, tool=SCRIPT):
    """One value for each iteration."""
    out = tmp_path / "curve.json"
    options = ["--dataset-size", str(pictures), "--not-show", "--save-path", str(out)]
    call(*tool, str(find_config(config)), *options, "--parameter", parameter, folder=tmp_path)
    (curve,) = json.loads(out.read_text()).values()
    assert [x for x, _ in curve] == list(range(len(curve)))
    return [y for _, y in curve]


def half_cosine(start, end, place, length):
    return end + (start - end) * (1 + math.cos(math.pi * place / length)) / 2


def test_learning_rate_of_the_digits(tmp_path):
    """Two epochs of warm-up from 1e-4 of 4e-3, then a cosine to 4e-3 of it; before the rule for the batch."""
    found = drawn(tmp_path, "poa_vit-digits.py", "lr", EPOCH * 64)
    warm = 2 * EPOCH
    rising = [4e-3 * (1e-4 + (1 - 1e-4) * step / (warm - 1)) for step in range(warm)]
    falling = [half_cosine(4e-3, 4e-3 * 4e-3, step, 8 * EPOCH) for step in range(8 * EPOCH)]
    assert found == pytest.approx(rising + falling, rel=1e-9)


@pytest.mark.slow  # a minute altogether
@pytest.mark.parametrize(
    ("config", "batch", "epochs", "parameter"),
    [
        ("poa_vit_imagenet.py", 50, 346, "lr"),  # bf16, layer-wise decay, a schedule that is cut
        ("poa_vit_imagenet.py", 50, 346, "wd"),
        ("poa_resnet_imagenet.py", 40, 692, "wd"),  # `decay_also`
        ("poa_swin-digits.py", 64, 10, "momentum"),
    ],
)
def test_other_schedules(config, batch, epochs, parameter, tmp_path):
    found = drawn(tmp_path, config, parameter, FEW * batch, mim("mmpretrain", "vis_scheduler"))
    length = epochs * FEW
    if parameter == "momentum":
        expected = [0.9] * length
    elif parameter == "wd":
        whole = length / 0.78 if "vit" in config else length
        expected = [half_cosine(0.04, 0.4, step, whole) for step in range(length)]
    else:
        warm, whole = 10 * FEW, length / 0.78
        expected = [4e-3 * (1e-4 + (1 - 1e-4) * step / (warm - 1)) for step in range(warm)]
        expected += [half_cosine(4e-3, 4e-3 * 4e-3, step, whole - warm) for step in range(length - warm)]
    assert found == pytest.approx(expected, rel=1e-6)

"""Dense tasks on frozen patches from a config to results: families, controls, wrong data, what must be learned."""

import numpy as np
import pytest
from PIL import Image

from poa_bench.checks.check import check_config
from poa_bench.config_files import read_config
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.patch_maps import starts
from poa_bench.errors import InputError
from poa_bench.runs.galleries import MISSING, Galleries
from poa_bench.runs.results import load_results
from poa_bench.sweep.light import evaluate_checkpoint
from poa_bench.tasks import find_task, parse_protocol, patch_session
from poa_bench.tasks.base import Metric
from poa_bench.tasks.patch_session import held_out
from tests.conftest import but_slow
from tests.downstream.networks import FAMILIES, tiny_supernet, write_checkpoint
from tests.outside.networks import ARGUMENTS, CONVNEXT, REGISTERS, stock, write

pytest.importorskip("mmseg", reason="needs the dense extra")

COLOURS = [(40, 40, 40), (220, 60, 60), (60, 220, 60)]
MAPS = """
data = dict(type="mmseg.BaseSegDataset", data_root="{root}", metainfo=dict(classes=("ground", "red", "green")))
evaluation = dict(
    name="colours", truth="label_maps", image_size=32, mean=[100.0] * 3, std=[60.0] * 3, interpolation="bilinear",
    train=dict(data_prefix=dict(img_path="train", seg_map_path="train_maps"), **data),
    test=dict(data_prefix=dict(img_path="test", seg_map_path="test_maps"), **data),
    val_share=0.25,
)
"""
DEPTHS = """
data = dict(type="poa_bench.DepthMaps", data_root="{root}", scale=1000.0, maximum=10.0)
evaluation = dict(
    name="shades", truth="depth_maps", image_size=32, mean=[100.0] * 3, std=[60.0] * 3,
    train=dict(ann_file="{root}/train.txt", **data), val=dict(ann_file="{root}/val.txt", **data),
    test=dict(ann_file="{root}/test.txt", **data),
)
"""
PROTOCOLS = ["patch-knn-k5-T0.05-s8-n400-slide2/1", "patch-linear-grid5-s8-n400-slide2/1"]


def write_pictures(root) -> None:
    """Squares of two colours with their label maps, and shades of grey with their depth in millimetres."""
    for split, count in (("train", 12), ("val", 4), ("test", 5)):
        (root / split).mkdir()
        (root / f"{split}_maps").mkdir()
        (root / f"{split}_depth").mkdir()
        lines = []
        for number in range(count):
            draw = np.random.default_rng([count, number])
            truth = np.zeros((48, 64), np.uint8)
            for label in (1, 2):
                top, left = draw.integers(0, 24), draw.integers(0, 40)
                truth[top : top + 24, left : left + 24] = label
            picture = np.array(COLOURS)[truth] + draw.normal(0, 20, (48, 64, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / split / f"{number}.jpg", quality=95)
            truth[:2] = 255
            Image.fromarray(truth).save(root / f"{split}_maps" / f"{number}.png")
            depth = np.repeat(np.linspace(1.0, draw.uniform(3, 8), 64)[None], 48, 0)
            grey = 255 * np.log(depth) / np.log(8)
            picture = np.repeat(grey[..., None], 3, 2).astype(np.uint8)
            Image.fromarray(picture).save(root / f"{split}_depth" / f"{number}.png")
            millimetres = (1000 * depth).astype(np.uint16)
            millimetres[:4] = 0
            Image.fromarray(millimetres).save(root / f"{split}_depth" / f"{number}_map.png")
            lines.append(f"/{split}_depth/{number}.png /{split}_depth/{number}_map.png 518.8")
        (root / f"{split}.txt").write_text("\n".join([*lines, f"{split}/none.png None 518.8"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps")
    write_pictures(root)
    for name, text in (("colours", MAPS), ("shades", DEPTHS)):
        (root / f"{name}.py").write_text(text.format(root=root))
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(write_checkpoint(tiny_supernet("vit"), tmp_path_factory.mktemp("vit") / "epoch_1.pth"))


def measured(checkpoint, folder, output, data="colours", **choice):
    tasks = ["depth"] if data == "shades" else ["patch-knn", "patch-linear"]
    found = evaluate_checkpoint(checkpoint, str(folder / f"{data}.py"), output, tasks=tasks, **choice)
    return {(result.task, result.spec): result for result in found}


def test_small_data_are_done_size_by_size_and_large_ones_together(checkpoint, folder, tmp_path, monkeypatch):
    passes, real = [], patch_session.PatchPass
    monkeypatch.setattr(patch_session, "PatchPass", lambda *given: passes.append(len(given[0])) or real(*given))
    sizes = ["vit-w16-d3", "vit-w16-d5", "vit-w32-d3"]
    measured(checkpoint, folder, tmp_path / "together", specs=sizes)
    small = "evaluation['resize'] = 48\n"
    (folder / "small.py").write_text((folder / "colours.py").read_text() + small)
    measured(checkpoint, folder, tmp_path / "alone", "small", specs=sizes)
    monkeypatch.setattr(patch_session, "BYTES", 15 * 10**6)  # 100,000 patches of width 16 need 6.4 MB, of 32 12.8 MB
    measured(checkpoint, folder, tmp_path / "packed", specs=sizes)
    assert passes == [3, 1, 1, 1, 2, 1]


@pytest.mark.parametrize("family", but_slow(FAMILIES, ["resnet"]))
def test_every_family_and_its_control(family, folder, tmp_path):
    checkpoint = str(write_checkpoint(tiny_supernet(family), tmp_path / "epoch_1.pth"))
    for start in ("pretrained", "random"):
        found = measured(checkpoint, folder, tmp_path / start, initialisation=start, specs=["smallest", "intact"])
        assert len(found) == 4
        for (task, _), result in found.items():
            assert list(result.metrics) == ["mIoU", "aAcc", "mAcc", "val_mIoU"] and set(result.units.values()) == {"%"}
            assert result.protocol == find_task(task).defaults[0].name and result.macs
            pictures = {name: result.facts[f"{name}_pictures"] for name in ("train", "val", "test")}
            assert (
                pictures == {"train": 12, "val": 3, "test": 5} and 0 < result.facts["feature_seconds"] < result.seconds
            )


def test_raw_pixels_tell_colours_apart(checkpoint, folder, tmp_path):
    """Squares that are told by their colour alone; patches at their edges are half of each."""
    found = measured(checkpoint, folder, tmp_path, initialisation="pixels", protocols=PROTOCOLS)
    assert {task: result.primary > 80 for (task, _), result in found.items()} == {
        "patch-knn": True,
        "patch-linear": True,
    }


def test_labels_that_say_nothing_are_not_learned(checkpoint, folder, tmp_path):
    for split in ("train", "train_maps", "test", "test_maps"):
        (tmp_path / split).symlink_to(folder / split) if split != "train_maps" else (tmp_path / split).mkdir()
    for number in range(12):
        swapped = np.array(Image.open(folder / "train_maps" / f"{(number + 1) % 12}.png"))
        Image.fromarray(swapped[:, ::-1].copy()).save(tmp_path / "train_maps" / f"{number}.png")
    (tmp_path / "colours.py").write_text(MAPS.format(root=tmp_path))
    found = measured(checkpoint, tmp_path, tmp_path / "results", initialisation="pixels", protocols=PROTOCOLS)
    assert all(result.primary < 50 for result in found.values())


def test_sizes_and_tasks_together_are_as_alone(checkpoint, folder, tmp_path):
    together = measured(checkpoint, folder, tmp_path / "all", protocols=PROTOCOLS)
    assert len(together) == 8
    alone = measured(checkpoint, folder, tmp_path / "one", protocols=PROTOCOLS[1:], specs=["vit-w32-d3"])
    assert alone["patch-linear", "vit-w32-d3"].metrics == together["patch-linear", "vit-w32-d3"].metrics


def test_depth_of_shades(checkpoint, folder, tmp_path):
    """Grey says the logarithm of the depth: raw pixels find it, and errors are fewer the better."""
    protocols = ["depth-ridge-grid13-s8-n400-slide2/1"]
    (found,) = measured(
        checkpoint, folder, tmp_path / "pixels", "shades", initialisation="pixels", protocols=protocols
    ).values()
    assert found.metrics["abs_rel"] < 8 and found.metrics["delta1"] > 95 and found.metrics["rmse"] < 0.5
    assert found.units == {"rmse": "m", "abs_rel": "%", "delta1": "%", "val_rmse": "m"}
    depth = find_task("depth")
    assert depth.metric("val_rmse") == Metric("m", higher_is_better=False) and depth.metric("delta1").sign == 1
    assert len(measured(checkpoint, folder, tmp_path / "vit", "shades", specs=["smallest", "intact"])) == 2


@pytest.mark.parametrize("name", [REGISTERS, CONVNEXT])
def test_depth_by_networks_from_outside(name, folder, tmp_path):
    """Random weights see grey, too. The best one depth for all pixels is within 1.25 for 31 % of them, 1.56 m off."""
    weights = write(stock(name), tmp_path / "weights.safetensors")
    outside = {"weights": str(weights), "arguments": ARGUMENTS[name]}
    (found,) = measured(f"timm:{name}", folder, tmp_path / "results", "shades", outside=outside).values()
    assert found.spec == f"timm:{name}" and found.metrics["delta1"] > 75 and found.metrics["rmse"] < 0.8


def test_galleries_are_of_the_same_pictures_for_all_sizes(checkpoint, folder, tmp_path):
    found = list(measured(checkpoint, folder, tmp_path / "maps", protocols=PROTOCOLS).values())
    found += measured(checkpoint, folder, tmp_path / "pixels", initialisation="pixels", protocols=PROTOCOLS).values()
    for result in found:
        labels, components = result.galleries
        assert (labels.name, components.name) == ("Label maps", "Principal components of patches")
        assert MISSING not in result.facts and len(Galleries(galleries=result.galleries).model_dump_json()) < 60_000
    truths = [[(row.name, row.truth) for gallery in result.galleries for row in gallery.rows] for result in found]
    assert all(truth == truths[0] for truth in truths) and len(truths[0]) == 8
    (of_depth,) = measured(checkpoint, folder, tmp_path / "depth", "shades", specs=["smallest"]).values()
    assert [gallery.name for gallery in of_depth.galleries] == ["Depth maps", "Principal components of patches"]
    assert of_depth.galleries[0].rows[0].truth.caption.startswith("1 to ")


def test_outcomes_are_kept_picture_by_picture(checkpoint, folder, tmp_path):
    measured(checkpoint, folder, tmp_path, specs=["smallest"])
    for result in load_results(tmp_path)[0]:
        assert set(result.outcomes) == set(result.metrics)
        for name, outcome in result.outcomes.items():
            assert outcome.score == pytest.approx(result.metrics[name])
            assert outcome.pictures == (3 if name.startswith("val_") else 5)
            assert ("0" in outcome.split) is name.startswith("val_"), "held out by seed 0"


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ("knn", "colours", "knn-k20-T0.07/1 needs a class for each picture, but colours has label maps: .*patch-knn"),
        ("patch-knn", "digits", r"needs label maps, but digits has a class for each picture: .*\(knn, linear"),
        ("depth", "colours", "needs depth maps, but colours has label maps"),
    ],
)
def test_data_that_do_not_fit_are_named(task, data, message, checkpoint, folder, tmp_path):
    source = data if data == "digits" else str(folder / f"{data}.py")
    with pytest.raises(InputError, match=message):
        evaluate_checkpoint(checkpoint, source, tmp_path, tasks=[task])


@pytest.mark.parametrize(
    "name",
    [
        "patch-knn-k30-T0.02-s16-n100000-slide2/1",
        "patch-knn-k1-T0.1-s8cls-n500-whole/1",
        "patch-linear-grid13-b0.5-s16cls-n100000-slide4/1",
        "depth-ridge-grid13-s16-n100000-whole/1",
    ],
)
def test_names_say_the_settings(name):
    protocol = parse_protocol(name)
    assert protocol.name == name and "Patches are taken from the last map" in protocol.description
    assert ("class feature" in protocol.description) is protocol.context is ("cls" in name)
    assert ("Gaussian" in protocol.description) is ("slide" in name)


def test_passes_are_windows():
    for name, side, expected in (("slide2", 96, 25), ("slide4", 64, 25), ("slide1", 96, 9), ("whole", 96, 9)):
        protocol = parse_protocol(f"patch-knn-k1-T0.1-s8-n9-{name}/1")
        assert protocol.passes(side, 32) == expected
        assert expected == len(starts(side, 32, 32 // max(protocol.overlap, 1))) ** 2 or name == "whole"
    assert parse_protocol("patch-knn-k1-T0.1-s8-n9-slide2/1").passes(None, 32) == 1


def test_pictures_are_held_out_by_the_seed():
    assert held_out(10, 0.3, 0) == held_out(10, 0.3, 0) != held_out(10, 0.3, 1)
    assert len(held_out(10, 0.3, 0)) == 3 and held_out(2, 0.01, 0) in ([0], [1]) and len(held_out(4, 0.99, 0)) == 3
    with pytest.raises(InputError, match="train has one picture"):
        held_out(1, 0.5, 0)


def test_files_of_depth_are_checked(folder, tmp_path):
    data = EvaluationData.load(folder / "shades.py").resolved(None)
    scene = data.scenes["test"][0]
    assert scene.truth.shape == (48, 64) and scene.truth[:4].max() == 0 and 0.9 < scene.truth[10, 0] < 1.1
    assert len(data.scenes["train"]) == 12, "a picture without a map is left out"
    config = {**data.train, "maximum": 2.0, "crop": (10, 20, 0, 30)}
    cut = EvaluationData("cut", config, config, truth="depth_maps", image_size=32).scenes["train"][0].truth
    assert 1.5 < cut.max() <= 2 and cut[:10].max() == cut[20:].max() == cut[:, 30:].max() == 0
    for text, message in (("a.png", "expected `PICTURE MAP`"), ("a.png b.png", "there is no file .*a.png")):
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            broken = {**data.train, "ann_file": str(tmp_path / "list.txt")}
            EvaluationData("b", broken, broken, truth="depth_maps", image_size=32).scenes["train"][0]
    (tmp_path / "list.txt").write_text("test/0.jpg test_maps/0.png")
    broken = {**data.train, "ann_file": str(tmp_path / "list.txt")}
    with pytest.raises(InputError, match="must be a PNG of 16 bits"):
        EvaluationData("b", broken, broken, truth="depth_maps", image_size=32).scenes["train"][0]


def findings(path) -> list[tuple[str, list[str]]]:
    return [(row.where, row.problems) for row in check_config(read_config(path))]


def test_check_data_reads_what_will_be_read(tmp_path):
    write_pictures(tmp_path)
    for name, text in (("colours", MAPS), ("shades", DEPTHS)):
        (tmp_path / f"{name}.py").write_text(text.format(root=tmp_path))
        assert all(not problems for _, problems in findings(tmp_path / f"{name}.py"))
    Image.fromarray(np.full((48, 64), 7, np.uint8)).save(tmp_path / "test_maps" / "2.png")
    (train, nothing), (test, (problem,)) = findings(tmp_path / "colours.py")
    assert (train, nothing, test) == ("evaluation.train", [], "evaluation.test")
    assert "2.png has the values [7]; allowed are 0 to 2 and 255" in problem
    (tmp_path / "val_depth" / "1_map.png").unlink()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "val_depth" / "0_map.png")
    _, (_, problems), _ = findings(tmp_path / "shades.py")
    assert "0_map.png has (height, width) (4, 4)" in problems[0] and "there is no file" in problems[1]

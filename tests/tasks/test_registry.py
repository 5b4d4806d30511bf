"""Every registered task goes the whole way, and one in a package of its own does too: from measuring to the report."""

import re

import pytest

from poa_bench.cli import main
from poa_bench.errors import InputError
from poa_bench.report.frame import load_report_data
from poa_bench.runs.results import load_results
from poa_bench.sweep.light import evaluate_checkpoint
from poa_bench.tasks import all_tasks, find_task, light_tasks, parse_protocol, protocol_sentence, todays
from poa_bench.tasks.base import FeatureProtocol, Metric
from tests.downstream.networks import tiny_supernet, write_checkpoint
from tests.tasks.test_light import DATA
from tests.tasks.test_patch_tasks import DEPTHS, MAPS, write_pictures

FOREIGN = '''
"""How far features are from 0: a task of somebody else's."""
from dataclasses import dataclass
from poa_bench.downstream.drawing import drawn, fitted
from poa_bench.runs.galleries import Gallery, Row, handful, without_harm
from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Metric, Task

@dataclass(frozen=True)
class LengthProtocol(FeatureProtocol):
    power: int = 2
    version = 3
    pattern = r"length-p(?P<power>[1-9])"

    @classmethod
    def parse(cls, match):
        return cls(int(match["power"]))

    @property
    def settings(self):
        return f"length-p{self.power}"

    @property
    def description(self):
        return "The mean length of the features."

    def measure(self, features: FrozenFeatures) -> Measurement:
        inputs, _ = features.inputs("test")
        length = inputs.norm(p=self.power, dim=1)
        found = Measurement({"length": length.mean().item()}, {"power": self.power})
        with without_harm(found.facts):
            found.galleries = [self.gallery(features.data.splits["test"], length)]
        return found

    def gallery(self, images, lengths) -> Gallery:
        rows = []
        for position in handful(len(images)):
            picture = drawn(fitted(images.seen(position)))
            rows.append(Row(name=f"picture {position}", truth=picture, found=drawn(fitted(images.seen(0)), "long")))
        return Gallery(name="Lengths of pictures", truth="picture", about="How long they are.", rows=tuple(rows))

TASK = Task("length", 60, (LengthProtocol,), (LengthProtocol(),), metrics={"length": Metric("px")})
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package that names a task in its entry points; returns how."""

    def install(name: str = "length", value: str = "foreign_task:TASK", text: str = FOREIGN) -> None:
        site = tmp_path / "site"
        (site / "foreign-1.0.dist-info").mkdir(parents=True)
        (site / "foreign-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
        points = f"[poa_bench.tasks]\n{name} = {value}\n"
        (site / "foreign-1.0.dist-info" / "entry_points.txt").write_text(points)
        (site / "foreign_task.py").write_text(text)
        monkeypatch.syspath_prepend(site)
        all_tasks.cache_clear()

    yield install
    monkeypatch.undo()
    all_tasks.cache_clear()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(write_checkpoint(tiny_supernet("vit"), tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "few_digits.py"
    path.write_text(DATA)
    return str(path)


def report_of(results, capsys) -> str:
    """The text of a report, and that it was written without a word on errors."""
    assert main(["report", str(results), "-o", str(results / "report"), "--no-figures"]) == 0
    assert not capsys.readouterr().err
    return (results / "report" / "report.md").read_text()


def test_every_light_task_goes_from_measuring_to_the_report(checkpoint, data, tmp_path, capsys):
    of_maps = {name for name, task in light_tasks().items() if task.defaults[0].truth in ("label_maps", "depth_maps")}
    tasks = ",".join(name for name in light_tasks() if name not in of_maps)
    evaluate = ["evaluate", checkpoint, "--data", data, "-o", str(tmp_path), "--specs", "smallest,intact"]
    defaults = {name: task.defaults for name, task in light_tasks().items() if name not in of_maps}
    protocols = [protocol.name for of_task in defaults.values() for protocol in of_task]
    short = {
        "profile-b1-b32/1": "profile-b1-s0.01/1",
        "logistic-c45-all/1": "logistic-c3-all/1",
        "robustness-logreg-corruptions15-s12345/1": "robustness-logreg-corruptions15-s3/1",
    }
    protocols = [short.get(name, name) for name in protocols]
    for start in ("pretrained", "random", "pixels"):
        named = [name for name in protocols if start != "pixels" or not name.startswith("profile")]
        command = [*evaluate, "--tasks", tasks, "--initialisation", start, "--protocols", ",".join(named)]
        assert (
            main(command if start != "pixels" else [w for w in command if w not in ("--specs", "smallest,intact")]) == 0
        )
    write_pictures(tmp_path)
    for name in of_maps:
        maps = tmp_path / f"{name}.py"
        maps.write_text((DEPTHS if name == "depth" else MAPS).format(root=tmp_path))
        for start in ("pretrained", "random", "pixels"):
            command = ["evaluate", checkpoint, "--data", str(maps), "-o", str(tmp_path), "--tasks", name]
            sizes = ["--specs", "smallest,intact"] if start != "pixels" else []
            assert main([*command, *sizes, "--initialisation", start]) == 0
    capsys.readouterr()
    results = load_results(tmp_path)[0]
    measured = {(result.task, result.initialisation) for result in results}
    for name, task in light_tasks().items():
        starts = ("pretrained", "random", "pixels") if task.takes_pixels else ("pretrained", "random")
        assert measured >= {(name, start) for start in starts}
        for result in (result for result in results if result.task == name):
            assert result.units == {
                metric: task.metric(metric).unit for metric in result.metrics if task.metric(metric).unit
            }
    text = report_of(tmp_path, capsys)
    scores = load_report_data(tmp_path).scores
    for name, task in light_tasks().items():
        assert task.is_cost or any(column.startswith(f"{name} ") for column in scores)
        assert task.is_cost or task.defaults[0].name in short or task.defaults[0].description in text
    shown = [re.split(r"[ ·]", column)[0] for column in load_report_data(tmp_path).primaries]
    assert [name for name in all_tasks() if name in shown] == list(dict.fromkeys(shown)), "in the order of places"


def test_a_task_of_another_package(package, checkpoint, data, tmp_path, capsys):
    assert main(["evaluate", checkpoint, "--data", data, "-o", str(tmp_path), "--tasks", "length"]) == 2
    assert "unknown task 'length'" in capsys.readouterr().err
    package()
    assert list(all_tasks()).index("length") == list(all_tasks()).index("profile") - 1  # its place is 60
    results = tmp_path / "results"
    for start in ("pretrained", "random", "pixels"):
        command = ["evaluate", checkpoint, "--data", data, "-o", str(results), "--tasks", "length"]
        assert main([*command, "--initialisation", start]) == 0
    found = load_results(results)[0]
    assert {result.protocol for result in found} == {"length-p2/3"} and {
        result.units["length"] for result in found
    } == {"px"}
    capsys.readouterr()
    text = report_of(results, capsys)
    assert "length length" in text and "The mean length of the features." in text
    page = (results / "report" / "index.html").read_text()
    assert "length · few-digits · Lengths of pictures" in page and "smallest: vit-w16-d3" in page
    rows = {tuple(row.name for row in gallery.rows) for result in found for gallery in result.galleries}
    assert len(rows) == 1 and all(len(result.galleries) == 1 for result in found), "the same pictures for all sizes"
    assert main(["evaluate", checkpoint, "--data", data, "-o", str(results), "--tasks", "knn"]) == 0
    lost = next(result for result in found if result.spec == "vit-w16-d3" and result.checkpoint)
    (results / lost.run_id / "result.json").unlink()
    capsys.readouterr()
    assert "--tasks length --protocols length-p2/3" in report_of(results, capsys), "the hole's command"
    assert main(["pick", str(results), "--task", "length"]) == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("length", "foreign_task:LengthProtocol", "it must name a poa_bench.tasks.Task"),
        ("knn", "poa_bench.tasks.knn:TASK", "two tasks are called 'knn'"),
    ],
)
def test_a_package_that_is_wrong_is_named(package, name, value, message):
    package(name, value)
    with pytest.raises(InputError, match=message):
        all_tasks()


def test_names_versions_and_sentences():
    assert todays("linear-logreg-grid13-valsplit/1") == "linear-logreg-grid13-valsplit/2"
    assert todays("mask-rcnn-sfp-digits/1") == "mask-rcnn-sfp-digits/1"
    with pytest.raises(InputError, match="unknown protocol 'linear-logreg-grid13-valsplit/1'"):
        parse_protocol("linear-logreg-grid13-valsplit/1")
    assert "Another version of `linear-logreg-grid13-valsplit/2`" in protocol_sentence(
        "linear", "linear-logreg-grid13-valsplit/1"
    )
    assert protocol_sentence("detection", "cascade-mask-rcnn-fpn-36e/1").startswith("Cascade Mask R-CNN")
    assert "config that each result's hash names" in protocol_sentence("mine", "mine/1")
    assert not find_task("mine").is_light and find_task("mine").name == "mine"


def test_metrics_say_their_direction():
    profile = find_task("profile")
    assert profile.metric("latency_p50_ms_batch1") == Metric("ms", higher_is_better=False)
    assert profile.metric("images_per_second_batch1").higher_is_better
    assert find_task("rank").metric("rankme_share").unit == "%" and find_task("rank").metric("rankme").unit == ""
    assert find_task("knn").metric("val_top1") == Metric("%", higher_is_better=True)


def test_a_protocol_that_fails_does_not_end_the_others():
    class Half(FeatureProtocol):
        parse = settings = description = version = pattern = None

        def __init__(self, number):
            self.number = number

        def measure(self, features):
            return 1 / self.number

    Half.__abstractmethods__ = frozenset()
    (_, first), (_, second) = Half.measure_all([Half(0), Half(2)], None)
    assert isinstance(first, ZeroDivisionError) and second == 0.5


def test_linear_probe_and_calibration_share_one_fit(checkpoint, data, monkeypatch, tmp_path):
    from poa_bench.downstream import linear

    fits, real = [], linear.linear_probe
    monkeypatch.setattr(linear, "linear_probe", lambda *given: fits.append(given) or real(*given))
    found = evaluate_checkpoint(checkpoint, data, tmp_path, tasks=["linear", "calibration"], specs=["intact"])
    assert sorted(result.task for result in found) == ["calibration", "linear"] and len(fits) == 1

"""Times that are told before a run: against made runs whose times are known, and against a small real sweep."""

import pytest

from poa_bench.runs.results import load_results
from poa_bench.sweep.estimates import GROWTH, START, Estimates, Left, kind_of
from poa_bench.sweep.local import LocalExecutor
from poa_bench.sweep.operations import backbone_macs, operations
from poa_bench.sweep.plan import expand, load_sweep, make_sweep
from poa_bench.sweep.scheduler import Scheduler
from poa_bench.tasks.execute import modules_for
from tests.sweep.conftest import save_checkpoint

SIZES = [(width, depth) for width in (32, 48) for depth in (2, 3, 4)]


def macs_of(width, depth, side):
    """Of a ViT with patches of 8 px and a class token, by hand."""
    patches = (side // 8) ** 2
    tokens = patches + 1
    return patches * 192 * width + depth * (tokens * 12 * width**2 + 2 * tokens**2 * width)


@pytest.fixture(scope="module")
def runs(checkpoint):
    """By task: all sizes, one run each."""
    tasks = [
        {"task": "segmentation", "settings": {"config": "upernet_digits.py"}},
        {"task": "detection", "settings": {"config": "mask-rcnn_sfp_digits.py"}},
        {"task": "knn", "dataset": "digits", "protocols": ["knn-k20-T0.07/1"]},
        {"task": "linear", "dataset": "digits"},
        {"task": "profile", "dataset": "digits", "protocols": ["profile-b1-b32-s0.25/1"]},
    ]
    found = expand(make_sweep({"name": "t", "checkpoints": [checkpoint], "results": "r", "tasks": tasks}))
    return {task["task"]: [run for run in found if run.task == task["task"]] for task in tasks}


def finished(run, seconds):
    measured = {"metrics": {"top1": 50.0}, "split": "test", "tensors_loaded": 4, "tensors_total": 4}
    return run.result(**measured, seconds=seconds)


def test_operations_by_hand(runs):
    """Windows of 32 px, pictures of 64 px, and all 3910 digits: three passes for each picture that is trained on."""
    expected = {"segmentation": (32, 3 * 16 * 200), "detection": (64, 3 * 4 * 200), "knn": (32, 3910)}
    for task, (side, pictures) in expected.items():
        assert [backbone_macs(run) for run in runs[task]] == [macs_of(*size, side) for size in SIZES]
        assert [operations(run) for run in runs[task]] == [2 * pictures * macs_of(*size, side) for size in SIZES]


@pytest.mark.parametrize(
    ("sweep", "side", "pictures"),
    [
        ("sweep_coco", (640, 1333), 3 * 36 * 118_287),  # the middle one of its scales
        ("sweep_ade20k", (512, 512), 3 * 160_000 * 16),
        ("sweep_imagenet_finetune", (224, 224), 3 * 200 * 1_281_167),
    ],
)
def test_work_of_the_large_sweeps_is_known_without_their_data(sweep, side, pictures, tmp_path):
    from poa_bench.elastic import SearchSpace, SubnetSpec
    from poa_bench.elastic.family import get_family
    from poa_bench.elastic.macs import count_macs

    paper = str(save_checkpoint(tmp_path / "paper.pth", widths=(384, 768, 1024), depths=(12, 24), store=False))
    run = expand(load_sweep(sweep, [paper]))[0]
    assert run.spec == "vit-w384-d12"
    space = SearchSpace("vit", widths=(384,), depths=(12,), head_dim=16)
    options = {"img_size": 32, "patch_size": 8, "init_values": 1e-5}
    network = get_family("vit").skeleton(space, SubnetSpec.parse("vit-w384-d12"), options)
    assert operations(run) == pytest.approx(2 * count_macs(network, side) * pictures, rel=1e-3)


def test_time_of_a_size_that_was_run_is_its_median(runs):
    knn = runs["knn"]
    estimates = Estimates([finished(knn[0], seconds) for seconds in (1, 2, 9)], knn)
    assert estimates.of(knn[0]) == 2


def test_time_of_other_sizes_follows_operations(runs):
    """27 s for whatever is the same for all sizes, and 2 s for a billion operations; with one size, by a power."""
    detection = runs["detection"]
    seconds = {run.id: 27 + 2e-9 * operations(run) for run in detection}
    two = Estimates([finished(run, seconds[run.id]) for run in (detection[0], detection[3])], detection)
    assert [two.of(run) for run in detection] == pytest.approx([seconds[run.id] for run in detection], rel=1e-6)
    one = Estimates([finished(detection[0], START + 10.0)], detection)
    expected = [START + 10 * (operations(run) / operations(detection[0])) ** GROWTH for run in detection]
    assert [one.of(run) for run in detection] == pytest.approx(expected)
    assert one.left(detection) == Left(pytest.approx(sum(expected)), 6, 0, 0)
    falling = Estimates([finished(detection[0], 39.0), finished(detection[5], 33.0)], detection)
    assert 33 <= falling.of(detection[2]) <= 39, "a larger size never takes less by this"
    short = Estimates([finished(run, 5.0) for run in detection[:2]], detection)
    assert short.of(detection[5]) == START


def test_kinds_that_were_never_run_are_guessed_only_where_asked(runs):
    everything = [run for of_task in runs.values() for run in of_task]
    results = [finished(run, START + 1e-9 * operations(run)) for run in runs["detection"]]
    plain, asked = (Estimates(results, everything, guess, rate=lambda: 5e-9) for guess in (False, True))
    assert plain.of(runs["segmentation"][0]) is None and plain.left(runs["segmentation"]) == Left(0, 6, 0, 6)
    for run in runs["segmentation"]:  # at the rate of the detection runs
        assert asked.of(run) == pytest.approx(START + 1e-9 * operations(run))
    for run in runs["knn"]:  # no light run tells the rate: the machine's
        assert asked.of(run) == pytest.approx(5e-9 * operations(run))
    assert asked.of(runs["profile"][0]) == 0.5, "a quarter of a second for each of two batch sizes"
    kinds = asked.by_kind(everything)
    assert list(kinds) == [kind_of(of_task[0]) for of_task in runs.values()]
    assert [left.guessed for left in kinds.values()] == [6, 0, 6, 6, 6]


def test_a_profile_takes_as_long_for_any_size(runs):
    small, *_, large = runs["profile"]
    assert Estimates([finished(small, 3.0)], runs["profile"]).of(large) == 3


def test_raw_pixels_have_no_size(checkpoint):
    task = {"task": "knn", "dataset": "digits", "protocols": ["knn-k20-T0.07/1"]}
    sweep = {"name": "t", "checkpoints": [checkpoint], "results": "r"}
    pixels, *others = expand(make_sweep({**sweep, "tasks": [{**task, "initialisations": ["pixels", "pretrained"]}]}))
    assert Estimates([], [pixels], guess=True).of(pixels) is None
    assert Estimates([finished(run, 4.0) for run in others], [pixels, *others]).of(pixels) == 4


@pytest.mark.slow  # six minutes on two busy cores: nine short trainings
def test_a_real_sweep_takes_about_as_long_as_told(tmp_path):
    """Within the factor that `plan` warns of; how far off it was on two busy cores: downstream/sweeps/README.md."""
    checkpoint = str(save_checkpoint(tmp_path / "supernet.pth", widths=(32, 64, 128), depths=(2, 4)))
    short = {"train_cfg.max_iters": 40, "val_dataloader.dataset.indices": 8, "log_level": "ERROR"}
    short |= {"param_scheduler.0.end": 4, "param_scheduler.1.begin": 4, "param_scheduler.1.end": 40}
    specs = ["vit-w32-d2", "vit-w64-d4", "vit-w128-d4"]
    tasks = [
        {"task": task, "specs": specs, "settings": {"config": config, "cfg_options": short}}
        for task, config in (
            ("segmentation", "upernet_digits.py"),
            ("segmentation", "linear-seg_digits.py"),
            ("detection", "mask-rcnn_sfp_digits.py"),
        )
    ]
    tasks += [{"task": "knn", "dataset": "digits", "specs": specs, "protocols": ["knn-k20-T0.07/1"]}]
    results = tmp_path / "results"
    values = {"name": "t", "checkpoints": [checkpoint], "results": str(results), "tasks": tasks}
    runs = expand(make_sweep(values))
    results.mkdir()
    scheduler = Scheduler(runs, results, LocalExecutor(1, preload=modules_for(runs)), 0)
    assert scheduler.carry_through(lambda: None).exit_code == 0
    done, _ = load_results(results)
    took = {result.run_id: result.seconds for result in done}
    for run in runs:
        others = [result for result in done if kind_of(result) != kind_of(run)]
        sizes = [result for result in done if result.spec != run.spec]
        smallest = [result for result in done if result.spec == specs[0]]
        told = (Estimates([], runs, guess=True), Estimates(others, runs, guess=True), Estimates(sizes, runs))
        ratios = [estimates.of(run) / took[run.id] for estimates in (*told, Estimates(smallest, runs))]
        print(run, f"took {took[run.id]:.1f} s; told / took:", *(f"{ratio:.2f}" for ratio in ratios))
        assert all(0.1 <= ratio <= 10 for ratio in ratios), "as `poa-bench plan` says"

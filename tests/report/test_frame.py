"""The tidy tables: means over seeds, holes, stale results, names of series and columns."""

import math
import shlex
from itertools import permutations

import pytest

from poa_bench.cli import build_parser
from poa_bench.errors import InputError
from poa_bench.report.build import write_report
from poa_bench.report.frame import RANDOM, load_report_data, report_data
from poa_bench.report.missing import grouped, holes
from poa_bench.runs.results import results_frame, write_result
from poa_bench.sweep.options import sweep_of
from poa_bench.tasks.resolve import resolve
from tests.report.made import later, made_profile, made_result

SPECS = ("vit-w48-d4", "vit-w64-d4", "vit-w64-d6")


def data_of(results):
    return report_data(results_frame(results))


def test_mean_and_spread_over_seeds():
    data = data_of([made_result(seed=seed) for seed in range(3)])
    cell = data.cells.set_index(["series", "spec", "column"]).loc[("pre-trained", "vit-w48-d4", "knn top1")]
    assert cell["mean"] == pytest.approx(60 + 3 + 4 + 0.1)  # 48 / 16 = 3, depth 4, seeds 0, 0.1, 0.2
    assert cell["std"] == pytest.approx(0.1)
    assert (cell.seeds, cell.expected) == (3, 3)


def test_a_missing_seed_empties_the_mean_and_is_listed():
    results = [made_result(spec=spec, seed=seed) for spec in SPECS for seed in range(3)]
    data = data_of(results[:-1])  # the last size lacks its last seed
    assert data.wide()["knn top1"].isna().tolist() == [False, False, True]
    missing = holes(data)
    assert missing[["spec", "task", "seed"]].values.tolist() == [["vit-w64-d6", "knn", 2]]


def test_a_run_measured_again_counts_once():
    again = made_result(shift=5, created=later(1))
    data = data_of([made_result(shift=0), again])
    assert data.wide()["knn top1"].tolist() == [72.0]


def test_replaced_checkpoints_and_protocols_are_stale():
    old = made_result(sha="a" * 64)
    new = made_result(sha="b" * 64, created=later(1), shift=3)
    old_protocol = made_result("linear", sha="b" * 64, created=later(1))
    new_protocol = made_result(
        "linear", sha="b" * 64, created=later(2), protocol="linear-logreg-grid13-valsplit/3", shift=1
    )
    data = data_of([old, new, old_protocol, new_protocol])
    reasons = data.long.set_index("run_id").stale
    assert reasons[old.run_id] == "checkpoint aaaaaaaa was replaced by bbbbbbbb"
    assert reasons[old_protocol.run_id] == "protocol linear-logreg-grid13-valsplit/2 was replaced by version 3"
    assert reasons[new.run_id] == reasons[new_protocol.run_id] == ""
    assert data.wide().loc[("pre-trained", "vit-w48-d4")].tolist() == [70.0, 78.0]


def test_series_are_named_by_checkpoint_where_there_are_several():
    other = made_result(checkpoint="other/epoch_5.pth", sha="b" * 64)
    data = data_of([made_result(), other, made_result(initialisation="random")])
    assert set(data.cells.series) == {"epoch_10 (aaaaaaaa)", "epoch_5 (bbbbbbbb)", RANDOM}


def test_networks_trained_alone_can_share_a_series():
    alone = [
        made_result(spec=spec, checkpoint=f"{spec}.pth", sha=str(place) * 64, facts={"series": "trained alone"})
        for place, spec in enumerate(SPECS)
    ]
    data = data_of([*(made_result(spec=spec) for spec in SPECS), *alone])
    assert data.pretrained == ["epoch_10 (aaaaaaaa)", "trained alone"]
    assert len(data.wide().xs("trained alone")) == 3


def test_columns_are_told_apart_by_what_differs():
    ten = made_result(protocol="knn-k10-T0.07/1")
    data = data_of([made_result(), ten, made_profile("vit-w48-d4"), made_profile("vit-w48-d4", "H100", seed=1)])
    assert data.scores == ["knn top1 · knn-k20-T0.07/1", "knn top1 · knn-k10-T0.07/1"]
    assert [name for name in data.costs if name.startswith("latency_p50")] == [
        "latency_p50_ms_batch1 · H100",
        "latency_p50_ms_batch1 · cpu",
    ]


def test_scores_of_other_number_types_are_other_columns():
    half = [made_result(spec=spec, facts={"dtype": "bfloat16"}, config_hash="d" * 64) for spec in SPECS]
    full = [made_result(spec=spec, facts={"dtype": "float32"}) for spec in SPECS[:2]]
    data = data_of([*half, *full])
    assert data.scores == ["knn top1 · bfloat16", "knn top1 · float32"]
    missing = holes(data)
    assert missing[["spec", "column"]].values.tolist() == [["vit-w64-d6", "knn top1 · float32"]]
    assert "--amp" not in grouped(data, missing, "results").command[0]
    data = data_of([*half[:2], made_result("linear", SPECS[2], facts={"dtype": "bfloat16"})])
    commands = grouped(data, holes(data), "results").command
    assert all(
        command.endswith("--amp bf16 --specs " + specs)
        for command, specs in zip(commands, (SPECS[2], ",".join(SPECS[:2])), strict=True)
    )


def test_the_order_of_columns_is_not_that_of_files():
    both = [made_result(), made_result(protocol="knn-k10-T0.07/1"), made_result("linear")]
    orders = [data_of(list(results)).scores for results in permutations(both)]
    assert orders == [["knn top1 · knn-k20-T0.07/1", "knn top1 · knn-k10-T0.07/1", "linear top1"]] * 6


def test_costs_are_shared_with_series_that_were_not_profiled():
    data = data_of([made_profile("vit-w48-d4"), made_result(initialisation="random"), made_result()])
    assert data.costs.loc[(RANDOM, "vit-w48-d4"), "latency_p50_ms_batch1"] == pytest.approx(1.92)
    assert data.costs.loc[("pre-trained", "vit-w48-d4"), "weights"] == 4 * 48 * 48 * 4 * 12


def test_cells_of_an_older_protocol_are_measured_by_todays():
    old = [made_result("linear", protocol=f"linear-{kind}-valsplit/1") for kind in ("logreg-grid13", "sgd-i200-b256")]
    data = report_data(results_frame([*old, made_result(), made_result(spec="vit-w64-d4")]))
    lines = grouped(data, holes(data), "results")
    for kind, line in zip(("logreg-grid13", "sgd-i200-b256"), lines.itertuples(), strict=True):
        name = f"linear-{kind}-valsplit"
        assert line.protocol == f"{name}/1, to be measured as {name}/2, which replaces it"
        assert f"--protocols {name}/2 " in line.command and line.specs == ["vit-w64-d4"]
    newer = made_result("linear", protocol="linear-logreg-grid13-valsplit/2", created=later(1))
    reasons = report_data(results_frame([*old, newer])).long.set_index("run_id").stale
    assert reasons[old[0].run_id] == "protocol linear-logreg-grid13-valsplit/1 was replaced by version 2"
    assert reasons[old[1].run_id] == reasons[newer.run_id] == ""


def test_holes_are_every_cell_that_the_table_lacks(demo_folder):
    data = load_report_data(demo_folder)
    lines = grouped(data, holes(data), "results")
    assert lines[["series", "task", "sizes"]].values.tolist() == [
        ["pre-trained", "detection", "9 sizes"],
        ["pre-trained", "segmentation", "9 sizes"],
        [RANDOM, "detection", "9 sizes"],
        [RANDOM, "segmentation", "9 sizes"],
    ]
    assert lines.command[0] == (
        "poa-bench run sweep_digits --checkpoint work_dirs/poa/epoch_10.pth --results results --set "
        """'tasks=[{"task": "detection", "specs": """
        """["vit-w48-d6", "vit-w48-d8", "vit-w64-d4", "vit-w64-d8", "vit-w80-d4", "vit-w80-d6", "vit-w80-d8", """
        """"vit-w96-d4", "vit-w96-d6"], "initialisations": ["pretrained"], "seeds": [0], """
        """"settings": {"config": "mask-rcnn_sfp_digits.py"}}]'"""
    )
    empty = data.wide()["detection bbox_mAP"].isna()
    assert empty.sum() == 18 + 1  # and the raw pixels, of which no detection is expected


def test_sizes_without_a_profile_are_holes_once():
    results = [made_result(spec=spec, initialisation=kind) for spec in SPECS for kind in ("pretrained", "random")]
    data = data_of([*results, made_profile("vit-w64-d4")])
    missing = holes(data)
    assert missing[["series", "spec", "task"]].values.tolist() == [
        ["pre-trained", "vit-w48-d4", "profile"],
        ["pre-trained", "vit-w64-d6", "profile"],
    ]
    (command,) = grouped(data, missing, "results").command
    assert "--tasks profile --protocols profile-b1/1 --seeds 0" in command


def test_the_commands_are_understood(demo_folder, capsys):
    """Each command is parsed by the real command line, and those of sweeps by the real sweep reader."""
    data = load_report_data(demo_folder)
    results = [made_result("linear", spec) for spec in SPECS] + [made_result(spec=SPECS[0])]
    light = data_of([*results, made_result(spec=None, initialisation="pixels"), made_result(initialisation="random")])
    lines = [*grouped(data, holes(data), "results").command, *grouped(light, holes(light), "results").command]
    kinds = [build_parser().parse_args(shlex.split(line)[1:]) for line in lines]
    assert [args.command for args in kinds] == ["run"] * 4 + ["evaluate"] * 2
    sweeps = [sweep_of(args) for args in kinds[:4]]
    assert [(sweep.tasks[0].task, len(sweep.tasks[0].specs)) for sweep in sweeps] == [
        ("detection", 9),
        ("segmentation", 9),
    ] * 2
    assert sweeps[2].tasks[0].initialisations == ["random"]
    assert kinds[4].specs == ["vit-w64-d4", "vit-w64-d6"] and kinds[4].tasks == ["knn"]
    assert kinds[5].initialisation == "random" and kinds[5].tasks == ["linear"]


def test_a_command_has_the_settings_of_the_sweep_that_measures_by_the_protocol():
    """The quick digits protocol is no config's own, and sizes of COCO have their own settings and several GPUs."""
    quick = {"protocol": "quick-digits/1", "dataset": "digits-scenes"}
    data = data_of([*(made_result(spec=spec) for spec in SPECS[:2]), made_result("segmentation", **quick)])
    lines = grouped(data, holes(data), "results")
    (command,) = lines.command
    sweep = sweep_of(build_parser().parse_args(shlex.split(command)[1:]))
    assert sweep.tasks[0].settings["config"] == "upernet_digits.py"
    (protocol,) = resolve(sweep.tasks[0]).protocols  # of a newer version than the result, and that is said
    assert lines.protocol[0] == f"quick-digits/1, to be measured as {protocol}, which replaces it"
    assert protocol.startswith("quick-digits/")
    assert sweep.tasks[0].settings["cfg_options"]["train_cfg.max_iters"] == 20

    tuned = {"protocol": "finetune-official/1", "dataset": "imagenet"}
    specs = ("vit-w384-d12", "vit-w768-d12")
    data = data_of([*(made_result(spec=spec) for spec in specs), made_result("classification", specs[0], **tuned)])
    (command,) = grouped(data, holes(data), "results").command
    (task,) = sweep_of(build_parser().parse_args(shlex.split(command)[1:])).tasks
    assert (task.specs, task.settings["config"], task.gpus) == (["vit-w768-d12"], "finetune_vit-b_imagenet.py", 8)

    coco = {"protocol": "cascade-mask-rcnn-fpn-36e/1", "dataset": "coco"}
    specs = ("vit-w384-d12", "vit-w768-d12", "vit-w1024-d24", "vit-w448-d12")
    data = data_of([*(made_result(spec=spec) for spec in specs), made_result("detection", specs[2], **coco)])
    lines = grouped(data, holes(data), "results")
    tasks = [sweep_of(build_parser().parse_args(shlex.split(line)[1:])).tasks[0] for line in lines.command]
    rates = {task.specs[0]: task.settings.get("cfg_options", {}).get("optim_wrapper.optimizer.lr") for task in tasks}
    assert rates == {"vit-w384-d12": 3e-4, "vit-w768-d12": 1e-4, "vit-w448-d12": None}
    assert [task.gpus for task in tasks] == [8, 1, 8] and "run sweep_coco" in lines.command[0]


def test_commands_name_the_checkpoint_that_a_size_was_cut_from():
    alone = [
        made_result(spec=spec, checkpoint=f"{spec}.pth", sha=str(place) * 64, facts={"series": "trained alone"})
        for place, spec in enumerate(SPECS)
    ]
    linear = made_result(
        "linear", SPECS[0], checkpoint=f"{SPECS[0]}.pth", sha="0" * 64, facts={"series": "trained alone"}
    )
    data = data_of([*alone, linear])
    lines = grouped(data, holes(data), "results")
    assert [(line.specs, line.checkpoint) for line in lines.itertuples()] == [
        (["vit-w64-d4"], "vit-w64-d4.pth"),
        (["vit-w64-d6"], "vit-w64-d6.pth"),
    ]
    assert set(data.cells.series) == {"trained alone"}
    assert all("--series 'trained alone'" in command for command in lines.command)


def test_what_no_config_says_is_left_open_and_said(tmp_path):
    write_result(made_result(dataset="my-pictures"), tmp_path / "in")
    write_result(made_result("linear", "vit-w64-d4", dataset="my-pictures"), tmp_path / "in")
    write_report(tmp_path / "in", tmp_path / "out", with_figures=False)
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "--data CONFIG.py" in text and "CONFIG.py stands for what the results do not say" in text


def test_broken_files_are_listed_and_do_not_stop_the_report(tmp_path):
    write_result(made_result(), tmp_path)
    (tmp_path / ("0" * 16)).mkdir()
    (tmp_path / ("0" * 16) / "result.json").write_text("{", encoding="utf-8")
    data = load_report_data(tmp_path)
    assert len(data.broken) == 1 and len(data.cells) == 1


def test_empty_folders_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="there is no result below"):
        load_report_data(tmp_path)
    with pytest.raises(InputError, match="no results folder"):
        load_report_data(tmp_path / "absent")


def test_only_stale_results_are_refused():
    old = made_result(protocol="knn-k20-T0.07/1")
    data = data_of([old, made_result("linear", created=later(1))])
    assert not math.isnan(data.wide().iloc[0, 0])

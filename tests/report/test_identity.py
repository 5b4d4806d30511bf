"""What defines a run is visible in a report: results that differ in it never share a cell unsaid."""

from io import StringIO
from itertools import combinations

import pandas as pd
import pytest
from scipy import stats

from poa_bench.errors import InputError
from poa_bench.files import sha256_file
from poa_bench.report.analysis import gains
from poa_bench.report.build import report_context, settings_sentences, stamp_table
from poa_bench.report.cards import card_contexts, metafile
from poa_bench.report.chart_data import chart_data
from poa_bench.report.compare import compare, read_side
from poa_bench.report.curves import read_curves
from poa_bench.report.frame import PIXELS, RANDOM, report_data
from poa_bench.report.missing import grouped, holes
from poa_bench.report.origin import origins
from poa_bench.report.page import page_html
from poa_bench.report.pick import choose
from poa_bench.report.pick_words import pick_text
from poa_bench.report.tables import shown_table, size_table
from poa_bench.runs.results import IDENTITY, load_results, results_frame, write_result
from tests.conftest import REPOSITORY
from tests.report.made import later, made_profile, made_result
from tests.report.test_curves import log

TEACHER, STUDENT = ({"config": {"branch": branch, "image_size": 32}} for branch in ("teacher", "student"))
STUDENT["config_hash"] = "5" * 64
SPECS = ("vit-w48-d4", "vit-w64-d4")

# for each field of the identity, a result that differs in it alone (a control has no checkpoint either)
OTHERS = {
    "checkpoint_sha256": {"sha": "b" * 64, "checkpoint": "work_dirs/other/epoch_10.pth"},
    "spec": {"spec": "vit-w64-d4"},
    "task": {"task": "linear", "protocol": "knn-k20-T0.07/1"},
    "protocol": {"protocol": "knn-k10-T0.07/1"},
    "dataset": {"dataset": "letters"},
    "seed": {"seed": 1},
    "initialisation": {"initialisation": "random"},
    "config_hash": {"config_hash": "d" * 64},
    "pretraining_seed": {"pretraining_seed": 1},
}
REPEATS = {"seed", "pretraining_seed"}


def data_of(results):
    return report_data(results_frame(results))


def cells_of(data):
    return data.cells[data.cells["mean"].notna()]


@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "one series"])
@pytest.mark.parametrize("said", [False, True], ids=["settings unsaid", "settings said"])
@pytest.mark.parametrize("field", IDENTITY)
def test_results_that_differ_in_one_field_of_the_identity_never_merge(field, said, named):
    """Both values are in the tables: each in a cell of its own, or both in the mean of one that says two runs."""
    facts = {"series": "POA"} if named else {}
    changes = {name: value for name, value in OTHERS[field].items() if name != "initialisation"}
    if said:
        changes["config"] = {"resize": 96 if field == "config_hash" else 64}
    kind = OTHERS[field].get("initialisation", "pretrained")
    first = made_result(metrics={"top1": 10.0}, facts=facts, pretraining_seed=0, config={"resize": 64} if said else {})
    other_facts = facts if kind == "pretrained" else {}
    base = {"metrics": {"top1": 30.0}, "units": {}, "facts": other_facts, "created": later(1)}
    base |= {"pretraining_seed": 0} if kind == "pretrained" else {}
    task, spec = changes.pop("task", "knn"), changes.pop("spec", "vit-w48-d4")
    second = made_result(task, spec, kind, **{**base, **changes})
    assert first.run_id != second.run_id
    same = [name for name in IDENTITY if name != field and getattr(first, name) == getattr(second, name)]
    assert len(same) >= len(IDENTITY) - 1 - 2 * (kind == "random")
    data = data_of([first, second])
    cells = cells_of(data)
    if field in REPEATS:
        assert cells[["mean", "runs"]].values.tolist() == [[20.0, 2]]
    else:
        assert sorted(cells["mean"]) == [10.0, 30.0] and set(cells.runs) == {1}
        assert {10.0, 30.0} <= set(size_table(data).select_dtypes("number").stack())
        assert len(cells.drop_duplicates(["series", "spec", "column"])) == 2
    # each model has a name of its own
    names = [model["Name"] for model in metafile(data)["Models"]]
    assert len(set(names)) == len(names) == len(card_contexts(data)) == len(origins(data))


def test_every_pair_of_differences_stays_apart():
    """Any two fields at once: nothing that tells one pair apart may hide another."""
    plain = ("checkpoint_sha256", "task", "protocol", "dataset", "config_hash")
    for first, second in combinations(plain, 2):
        results = [
            made_result(
                changes.pop("task", "knn"), metrics={"top1": float(place)}, units={}, created=later(place), **changes
            )
            for place, changes in enumerate(
                {**(OTHERS[first] if a else {}), **(OTHERS[second] if b else {})} for a in (0, 1) for b in (0, 1)
            )
        ]
        cells = cells_of(data_of(results))
        assert sorted(cells["mean"]) == [0.0, 1.0, 2.0, 3.0], (first, second)


def test_teacher_and_student_in_one_folder(tmp_path):
    """The visible case: the student's number was printed with a command that cuts the teacher."""
    for spec in SPECS:
        write_result(made_result(spec=spec, **TEACHER), tmp_path)
        write_result(made_result(spec=spec, shift=7, created=later(1), **STUDENT), tmp_path)
    data = report_data(results_frame(_read(tmp_path)))
    shown = shown_table(data)
    assert shown[["size", "series", "knn top1"]].values.tolist() == [
        ["vit-w48-d4", "pre-trained, teacher", "67.00"],
        ["vit-w64-d4", "pre-trained, teacher", "68.00"],
        ["vit-w48-d4", "pre-trained, student", "74.00"],
        ["vit-w64-d4", "pre-trained, student", "75.00"],
    ]
    text = pick_text(choose(str(tmp_path), "knn", None, {}, (None, "")))
    assert "chosen:        vit-w64-d4 (pre-trained, student): 75.00" in text
    assert text.splitlines()[-2].endswith("vit-w64-d4 -o vit-w64-d4.safetensors --branch student")
    assert text.splitlines()[-1] == "from:          student of epoch_10.pth (sha256 aaaaaaaa)"
    cards = card_contexts(data)
    assert {name: card["command"].endswith("--branch student") for name, card in cards.items()} == {
        f"poa_{spec}_aaaaaaaa{branch}": branch != "" for spec in SPECS for branch in ("", "_student")
    }
    rows = {(row["series"], row["spec"]): row for row in chart_data(data).rows}
    assert rows["pre-trained, student", "vit-w48-d4"]["export"].endswith("--branch student")
    assert "--branch" not in rows["pre-trained, teacher", "vit-w48-d4"]["export"]


def _read(folder):
    return load_results(folder)[0]


def test_a_missing_cell_of_the_student_is_filled_by_the_student():
    results = [made_result(spec=spec, **branch) for spec in SPECS for branch in (TEACHER, STUDENT)]
    results.append(made_result("linear", SPECS[0], **STUDENT))
    lines = grouped(data_of(results), holes(data_of(results)), "results")
    commands = {(line.series, *line.specs): line.command for line in lines.itertuples()}
    assert set(commands) == {("pre-trained, student", SPECS[1]), ("pre-trained, teacher", *SPECS)}
    assert "--branch student" in commands["pre-trained, student", SPECS[1]]
    assert "--branch" not in commands[("pre-trained, teacher", *SPECS)]


def repeats(values, seeds=(0,), spec="vit-w48-d4", task="knn", **changes):
    """Values by pre-training seed, each with measurement seeds that add 0, 1, 2 ... to it."""
    return [
        made_result(
            task, spec, seed=seed, sha=f"{pretraining + 1:x}" * 64, checkpoint=f"runs/{pretraining}/iter_9.pth",
            pretraining_seed=pretraining, metrics={"top1": value + seed}, units={"top1": "%"},
            facts={"series": "POA"}, **changes,
        )
        for pretraining, value in enumerate(values)
        for seed in seeds
    ]  # fmt: skip


def test_repeats_of_pretraining_are_repeats():
    """10, 12, 20 by pre-training seed; measurement seeds 0 and 1 add 0 and 1: means 10.5, 12.5, 20.5."""
    data = data_of(repeats([10.0, 12.0, 20.0], seeds=(0, 1)))
    (cell,) = cells_of(data).to_dict("records")
    assert (cell["series"], cell["runs"], cell["pretrainings"], cell["seeds"]) == ("POA", 6, 3, 2)
    assert cell["mean"] == pytest.approx(14.5) and (cell["min"], cell["max"]) == (10, 21)
    assert cell["std"] == pytest.approx((28.0) ** 0.5)  # of 10.5, 12.5, 20.5: (16 + 4 + 36) / 2 = 28
    assert shown_table(data)["knn top1"].tolist() == ["14.50 ± 5.29"]
    assert "over 3 pre-training seeds" in report_context(data, "test")["spread"]
    stamps = stamp_table(data)
    checkpoints = stamps.value[stamps.what == "checkpoint"].tolist()
    assert [text.rsplit(", ", 1)[1] for text in checkpoints] == [f"pre-training seed {seed})" for seed in range(3)]


def test_a_repeat_that_lacks_a_size_empties_its_mean_and_is_listed_with_its_checkpoint():
    results = [*repeats([10.0, 12.0]), *repeats([20.0, 22.0], spec="vit-w64-d4")]
    lacking = [result for result in results if not (result.spec == "vit-w64-d4" and result.pretraining_seed == 1)]
    lacking += repeats([1.0, 2.0], task="linear")
    lacking += repeats([3.0, 4.0], task="linear", spec="vit-w64-d4")
    data = data_of(lacking)
    assert data.wide()["knn top1"].isna().tolist() == [False, True]
    lines = grouped(data, holes(data), "results")
    assert lines[["specs", "checkpoint", "seeds"]].values.tolist() == [
        [["vit-w64-d4"], "runs/1/iter_9.pth", "measurement seed 0, pre-training seed 1 of checkpoint 22222222"]
    ]
    assert "runs/1/iter_9.pth" in lines.command[0] and "--series POA" in lines.command[0]


def test_networks_trained_alone_that_lack_a_repeat_need_another_pretraining():
    alone = repeats([10.0, 12.0])
    own = {"spec": "vit-w64-d4", "sha": "e" * 64, "facts": {"series": "POA"}, "checkpoint": "a.pth"}
    other = made_result(pretraining_seed=0, **own)
    data = data_of([*alone, other])
    assert data.wide()["knn top1"].isna().tolist() == [False, True]
    (line,) = grouped(data, holes(data), "results").itertuples()
    assert (line.specs, line.checkpoint) == (["vit-w64-d4"], "CHECKPOINT")
    assert line.seeds == "measurement seed 0, another pre-training"
    # seeds that differ from size to size are no holes: each size has one pre-training
    single = made_result(pretraining_seed=7, **own)
    data = data_of([*repeats([10.0]), single])
    assert data.wide()["knn top1"].tolist() == [10.0, 68.0] and holes(data).empty


@pytest.mark.parametrize("seeds", [(None, None), (3, 3), (None, 1)], ids=str)
def test_checkpoints_of_one_series_that_are_no_known_repeats_are_lines_of_their_own(seeds):
    results = [
        made_result(
            sha=sha * 64, checkpoint=f"{sha}/x.pth", pretraining_seed=seed, shift=shift, facts={"series": "POA"}
        )
        for sha, seed, shift in zip("ab", seeds, (0, 5), strict=True)
    ]
    cells = cells_of(data_of(results)).set_index("series")["mean"]
    assert cells.to_dict() == {"POA (aaaaaaaa)": 67.0, "POA (bbbbbbbb)": 72.0}
    data = data_of([*results, made_result("linear")])
    lines = grouped(data, holes(data), "results")
    assert all("--series POA" in line for line in lines.command[lines.series.str.startswith("POA")])


def test_a_path_used_for_another_repeat_makes_nothing_stale_and_pick_looks_at_the_file(tmp_path):
    path = tmp_path / "iter_9.pth"
    path.write_bytes(b"the second repeat")
    owners = {0: "a" * 64, 1: sha256_file(path)}
    for seed, sha in owners.items():
        result = made_result(sha=sha, pretraining_seed=seed, checkpoint=str(path), created=later(seed), shift=-seed)
        write_result(result, tmp_path / "results")
    data = report_data(results_frame(_read(tmp_path / "results")))
    assert (data.long.stale == "").all() and len(cells_of(data)) == 2
    text = pick_text(choose(str(tmp_path / "results"), "knn", None, {}, (None, "")))
    assert "chosen:        vit-w48-d4 (iter_9 (aaaaaaaa)): 67.00" in text
    assert f"whose contents have changed (sha256 {owners[1][:8]})" in text and "poa-bench export" not in text


def test_pick_cuts_the_first_repeat_and_says_so(tmp_path):
    for result in repeats([10.0, 12.0]):
        write_result(result, tmp_path)
    text = pick_text(choose(str(tmp_path), "knn", None, {}, (None, "")))
    assert "vit-w48-d4 (POA): 11.00 ± 1.41" in text and "export runs/0/iter_9.pth vit-w48-d4" in text
    assert "(sha256 11111111, pre-training seed 0, branch not said by the results), one of 2 pre-trainings" in text


def test_two_data_configs_of_one_name(tmp_path):
    """Said settings are shown where they differ, and only those that are needed to tell the columns apart."""
    small = {"branch": "teacher", "image_size": 32, "train.path": "a", "test.path": "x", "architecture": "11111111"}
    large = {**small, "image_size": 64, "test.path": "y"}
    for kind, lower in (("pretrained", 0), ("random", 3)):
        for place, config in enumerate((small, large)):
            hashed = f"{place}{lower}" * 32  # that of a random network has the architecture in it
            own = {"config": config, "config_hash": hashed}
            write_result(made_result(initialisation=kind, shift=10 * place - lower, **own), tmp_path)
    data = report_data(results_frame(_read(tmp_path)))
    assert data.wide().reset_index().values.tolist() == [
        ["pre-trained", "vit-w48-d4", 67.0, 77.0],
        [RANDOM, "vit-w48-d4", 54.0, 64.0],
    ]
    assert data.scores == ["knn top1 · image_size 32", "knn top1 · image_size 64"]
    assert gains(data, "pre-trained", data.scores[1]).gain.tolist() == [13.0]
    assert "test.path y: knn · image_size 64 (pre-trained)" in " ".join(settings_sentences(data.long))
    with pytest.raises(InputError, match="say which one by --task 'knn top1 · image_size 32' or --task"):
        choose(str(tmp_path), "knn", None, {}, (None, ""))


def test_networks_trained_on_other_inputs_share_a_column_and_other_data_do_not():
    """The inputs are as each network was trained; the pictures are the measurement's."""
    ours, theirs = {"mean": "[0]", "test.path": "x"}, {"mean": "[1]", "test.path": "x"}
    first = made_result(config=ours)
    second = {"sha": "b" * 64, "checkpoint": "b.pth", "config_hash": "d" * 64}
    assert data_of([first, made_result(config=theirs, **second)]).scores == ["knn top1"]
    data = data_of([first, made_result(config={**theirs, "test.path": "y"}, **second)])
    assert data.scores == ["knn top1 · test.path x", "knn top1 · test.path y"]
    data = data_of([first, made_result(config=theirs, config_hash="d" * 64)])
    assert data.scores == ["knn top1 · mean [0]", "knn top1 · mean [1]"]


def test_settings_that_are_not_said_are_told_apart_by_their_hash():
    known = made_result(config={"image_size": 32}, config_hash="e" * 64, shift=2, created=later(2))
    old = [made_result(), made_result(config_hash="d" * 64, shift=1, created=later(1))]
    data = data_of([*old, known])
    assert cells_of(data).set_index("column")["mean"].to_dict() == {
        "knn top1 · settings cccccccc": 67.0,
        "knn top1 · settings dddddddd": 68.0,
        "knn top1": 69.0,
    }
    # the same hash said elsewhere says it for all
    data = data_of([*old[:1], made_result(spec="vit-w64-d4", config={"image_size": 32})])
    assert data.scores == ["knn top1"]


def test_random_networks_of_two_architectures_are_two_controls(tmp_path):
    """Each pre-trained network is compared with the random one of its own architecture and size."""
    results = []
    for place, name in enumerate(("1" * 8, "2" * 8)):
        own = {"config": {"architecture": name}, "parameters": 1000 + place}
        sha = {"sha": name * 8, "checkpoint": f"{name}.pth"}
        results.append(made_result(shift=place, **own, **sha))
        results.append(made_result(initialisation="random", shift=3 * place, **own, config_hash=name * 8))
        results.append(made_result("linear", **own, **sha))
    data = data_of(results)
    assert data.controls == [f"{RANDOM} (architecture 11111111)", f"{RANDOM} (architecture 22222222)"]
    assert [gains(data, name, "knn top1").gain.tolist() for name in data.pretrained] == [[10.0], [8.0]]
    lines = grouped(data, holes(data), "results").set_index("series")
    assert {name: line.checkpoint for name, line in lines.iterrows()} == {
        data.controls[0]: "11111111.pth",
        data.controls[1]: "22222222.pth",
    }
    assert all("--initialisation random" in text for text in lines.command)
    page_html(data, chart_data(data), report_context(data, "test"))


def test_costs_are_shared_between_equal_networks_only():
    patch_8 = {"sha": "b" * 64, "checkpoint": "b.pth", "parameters": 999, "macs": 5}
    data = data_of([made_result(), made_profile("vit-w48-d4"), made_result(**patch_8)])
    latency = data.costs["latency_p50_ms_batch1"]
    assert latency.dropna().index.tolist() == [("epoch_10 (aaaaaaaa)", "vit-w48-d4")]
    assert data.costs.macs.to_dict()["b (bbbbbbbb)", "vit-w48-d4"] == 5
    random = made_result(initialisation="random", parameters=999)
    assert gains(data_of([made_result(), random]), "pre-trained", "knn top1").gain.isna().all()


def test_macs_of_two_image_sizes_are_two_costs(tmp_path):
    for spec, macs in zip(SPECS, (100, 200), strict=True):
        write_result(made_result(spec=spec, macs=macs), tmp_path)
        write_result(made_result(spec=spec, dataset="letters", macs=4 * macs, image_size=64), tmp_path)
    data = report_data(results_frame(_read(tmp_path)))
    assert data.costs[["macs · 32 px", "macs · 64 px"]].values.tolist() == [[100, 400], [200, 800]]
    found = choose(str(tmp_path), "knn top1 · letters", None, {"macs": 500.0}, (None, ""))
    assert found["choice"].best.spec == SPECS[0] and "MACs (G) · 64 px <=" in pick_text(found)


def test_a_series_cannot_take_the_name_of_a_control():
    named = [
        made_result(facts={"series": name}, sha=sha * 64, checkpoint=f"{sha}.pth")
        for name, sha in ((RANDOM, "b"), (PIXELS, "a"))
    ]
    data = data_of([*named, made_result(initialisation="random"), made_result(spec=None, initialisation="pixels")])
    assert sorted(data.pretrained) == [f"{RANDOM} (pre-trained)", f"{PIXELS} (pre-trained)"]
    assert data.controls == [RANDOM, PIXELS] and len(cells_of(data)) == 4


def test_a_checkpoint_is_in_one_series_and_may_have_a_profile_alone():
    named = [made_result(facts={"series": "POA"}), made_profile("vit-w48-d4")]
    assert data_of(named).pretrained == ["POA"]
    data = data_of([*named, made_profile("vit-w64-d4", sha="b" * 64, checkpoint="b.pth")])
    assert data.pretrained == ["POA", "b (bbbbbbbb)"] and [*card_contexts(data)] == ["poa_vit-w48-d4_aaaaaaaa"]
    page_html(data, chart_data(data), report_context(data, "test"))


def test_a_moved_checkpoint_is_the_same_checkpoint():
    data = data_of([made_result(), made_result("linear", checkpoint="best.pth", created=later(1))])
    assert data.pretrained == ["pre-trained"]
    other = made_result(sha="b" * 64, checkpoint="x.pth")
    moved = made_result("linear", checkpoint="best.pth", created=later(1))
    assert data_of([made_result(), moved, other]).pretrained == ["best (aaaaaaaa)", "x (bbbbbbbb)"]


def test_curves_of_repeats_and_protocols_have_a_name_each(tmp_path):
    results = [
        made_result(
            "segmentation", sha=str(seed) * 64, checkpoint=str(tmp_path / str(seed) / "x.pth"), pretraining_seed=seed,
            protocol=protocol, facts={"series": "POA"},
        )
        for seed in (1, 2)
        for protocol in ("upernet-digits/3", "linear-segmentation-digits/3")
    ]  # fmt: skip
    for seed in (1, 2):
        log(tmp_path / str(seed), [{"loss": float(seed), "step": 1}])
    for place, result in enumerate(results):
        log(tmp_path / "results" / result.run_id, [{"loss": 10.0 + place, "step": 1}])
    curves = read_curves(data_of(results), tmp_path / "results").set_index("run").value.to_dict()
    assert curves == {
        "pre-training POA vit-w48-d4 (pre-training seed 1)": 1.0,
        "pre-training POA vit-w48-d4 (pre-training seed 2)": 2.0,
    } | {
        f"segmentation · {protocol} vit-w48-d4 (POA, pre-training seed {seed}, measurement seed 0)": 10.0 + place
        for place, (seed, protocol) in enumerate(
            (seed, protocol) for seed in (1, 2) for protocol in ("upernet-digits/3", "linear-segmentation-digits/3")
        )
    }


def test_comparisons_pair_pretrainings_and_keep_settings_apart(tmp_path):
    for name, values in (("a", [10.0, 12.0, 14.0]), ("b", [11.0, 14.0, 15.0, 99.0])):
        for result in repeats(values, seeds=(0, 1)):
            write_result(result, tmp_path / name)
            full = {"facts": {"series": "POA", "dtype": "float32"}}
            write_result(result.model_copy(update=full), tmp_path / name)
    # one side's results in another number type have nothing to be compared with
    for half in repeats([0.0, 0.0, 0.0], seeds=(0, 1), config_hash="d" * 64):
        write_result(half.model_copy(update={"facts": {"series": "POA", "dtype": "bfloat16"}}), tmp_path / "a")
    sides = [side for name in "ab" for side in read_side(str(tmp_path / name))]
    (row,) = compare(sides).to_dict("records")
    assert row["mean_first"] == pytest.approx(12.5) and row["mean_second"] == pytest.approx(13.5 + 1 / 3)
    assert row["repeats"] == 3 and row["note"] == "pre-training seeds [0, 1, 2] and [0, 1, 2, 3]: common ones only"
    assert row["std_first"] == pytest.approx(2.0)
    assert row["p"] == pytest.approx(stats.ttest_rel([11.5, 14.5, 15.5], [10.5, 12.5, 14.5]).pvalue)


@pytest.mark.parametrize("name", ["demo", "cifar10", "cifar10-gpu"])
def test_reports_made_before_keep_their_numbers(name):
    """The long tables that are kept lack the new fields; what was shown of them is shown still."""
    folder = REPOSITORY / "reports" / name
    long = pd.read_csv(folder / "results_long.csv", low_memory=False, parse_dates=["created"])
    before = pd.read_csv(folder / "results_wide.csv")
    of_outcomes = [name for name in before if name.endswith((" low", " high", " group"))]  # which no table holds
    before = before.drop(columns=of_outcomes)
    added = ["stale", "series", "column", "variant", "settings", "pretraining"]
    old = long.drop(columns=[column for column in long if column in added])
    integers = ("pretraining_seed", "parameters", "macs", "image_size", "tensors_loaded", "tensors_total")
    old = old.assign(pretraining_seed=old.get("pretraining_seed")).astype(dict.fromkeys(integers, "Int64"))
    after = pd.read_csv(StringIO(size_table(report_data(old)).to_csv(index=False)))
    pd.testing.assert_frame_equal(after, before)


def test_a_network_from_outside_has_no_branch():
    facts = {"series": "from outside: resnet10t"}
    outside = made_result(sha="b" * 64, checkpoint="resnet10t.safetensors", facts=facts, **TEACHER)
    outside = outside.model_copy(update={"spec": "timm:resnet10t", "family": "timm"})
    data = report_data(results_frame([made_result(**STUDENT), outside]))
    assert data.outside == ["from outside: resnet10t"] and any("student" in series for series in data.pretrained)

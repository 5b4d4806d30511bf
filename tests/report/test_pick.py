"""`pick` against brute force, its words, and the command in a real process."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from poa_bench.cli import main
from poa_bench.errors import InputError
from poa_bench.report.frame import load_report_data
from poa_bench.report.pick import choose, find_columns, find_latency, pick
from poa_bench.report.pick_words import pick_text
from poa_bench.runs.results import write_result
from tests.report.made import made_result


@pytest.mark.parametrize("seed", range(20))
def test_pick_is_what_brute_force_says(seed):
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"spec": range(30), "rank": random.integers(0, 9, 30), "parameters": random.permutation(30) + 1.0}
    )
    table["score"] = random.random(30)  # what is shown has no say in the choice
    table["latency"] = random.random(30)
    table.loc[random.integers(0, 30, 4), "latency"] = np.nan
    limits = {"latency": 0.6, "parameters": 20.0}
    choice = pick(table, limits, "parameters")
    allowed = [row for _, row in table.iterrows() if row.latency <= 0.6 and row.parameters <= 20]
    order = sorted(allowed, key=lambda row: (-row["rank"], row.parameters))
    assert choice.best.spec == order[0].spec and choice.runner_up.spec == order[1].spec
    cheaper = [row for row in order if row.parameters < order[0].parameters]
    assert (choice.cheaper is None) == (not cheaper)
    assert not cheaper or choice.cheaper.spec == cheaper[0].spec
    assert choice.unknown == table.latency.isna().sum()


def test_words(demo_folder):
    found = choose(demo_folder, "knn", None, {"parameters": 0.5e6}, (None, ""))
    assert pick_text(found).splitlines() == [
        "knn top1 with params (M) <= 0.5000",
        "verdict:       the best of 9 sizes is vit-w64-d8 with 72.10, above random initialisation (62.10) and raw "
        "pixels (45.00)",
        "chosen:        vit-w64-d8 (pre-trained): 72.10 ± 0.10; 0.3932 params (M), 0.02517 MACs (G), "
        "1.573 weights, float32 (MB), 5.120 latency p50, batch 1 (ms), 6.400 latency p95, batch 1 (ms)",
        "runner-up:     vit-w48-d8 (pre-trained): 71.10 ± 0.10; 0.2212 params (M), 0.01416 MACs (G), "
        "0.8847 weights, float32 (MB), 3.840 latency p50, batch 1 (ms), 4.800 latency p95, batch 1 (ms)",
        "next cheaper:  vit-w48-d8 loses 1.00 and saves 44 % of params (M)",
        "how:           chosen on the test split itself, since not every size has a validation score: the score of "
        "the chosen one is likely to be a little too high",
        "export:        poa-bench export work_dirs/poa/epoch_10.pth vit-w64-d8 -o vit-w64-d8.safetensors",
        "from:          teacher of epoch_10.pth (sha256 aaaaaaaa, branch not said by the results)",
    ]


def test_secondary_metrics_and_latency_limits(demo_folder):
    found = choose(demo_folder, "det", "segm_mAP", {}, (4.0, "p50 batch1"))
    assert found["column"] == "detection segm_mAP"
    assert found["choice"].best.spec == "vit-w64-d6" and found["choice"].cheaper.spec == "vit-w48-d4"
    assert "latency of:    cpu" in pick_text(found)


def test_the_command(demo_folder, capsys):
    assert main(["pick", str(demo_folder), "--task", "seg", "--max-params", "0.3M"]) == 0
    assert "chosen:        vit-w64-d6" in capsys.readouterr().out
    assert main(["pick", str(demo_folder), "--task", "sharpness"]) == 2
    assert "'sharpness' was not measured: there are 'knn top1'" in capsys.readouterr().err


def test_one_of_several_protocols_is_taken_and_it_is_said(tmp_path, capsys):
    for spec, shift in (("vit-w48-d4", 0), ("vit-w64-d4", -5)):
        write_result(made_result(spec=spec), tmp_path)
        write_result(made_result(spec=spec, protocol="knn-k10-T0.07/1", shift=shift), tmp_path)
    assert main(["pick", str(tmp_path), "--task", "knn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "knn top1 · knn-k20-T0.07/1" and lines[2].startswith("chosen:        vit-w64-d4")
    assert lines[6] == (
        "protocol:      knn top1 · knn-k20-T0.07/1 was taken: it comes first in the report; "
        "by 'knn top1 · knn-k10-T0.07/1' (as --task) the choice is vit-w48-d4 (pre-trained)"
    )
    assert main(["pick", str(tmp_path), "--task", "knn top1 · knn-k10-T0.07/1"]) == 0
    out = capsys.readouterr().out
    assert "chosen:        vit-w48-d4" in out and "protocol:" not in out


def test_the_protocol_with_more_sizes_is_taken(tmp_path):
    for spec in ("vit-w48-d4", "vit-w64-d4"):
        write_result(made_result(spec=spec, protocol="knn-k10-T0.07/1"), tmp_path)
    write_result(made_result(spec="vit-w64-d4"), tmp_path)
    text = pick_text(choose(str(tmp_path), "knn", None, {}, (None, "")))
    assert "knn top1 · knn-k10-T0.07/1 was taken: it has the most sizes, 2; by" in text
    assert text.splitlines()[-3].endswith("(as --task) the choice is the same")


def test_several_data_sets_are_asked_about_with_what_to_type(tmp_path):
    write_result(made_result(), tmp_path)
    write_result(made_result(dataset="letters"), tmp_path)
    with pytest.raises(InputError, match="say which one by --task 'knn top1 · digits' or --task 'knn top1 · letters'"):
        choose(str(tmp_path), "knn", None, {}, (None, ""))
    found = choose(str(tmp_path), "knn top1 · letters", None, {}, (None, ""))
    assert found["column"] == "knn top1 · letters" and found["others"] == {}


def test_latency_is_that_of_float32_unless_another_is_named():
    names = ["latency_p50_ms_batch1", "latency_p50_ms_batch1_bfloat16", "latency_p95_ms_batch1"]
    data = SimpleNamespace(costs=pd.DataFrame(columns=names))
    assert find_latency(data, "p50 batch1") == names[0]
    assert find_latency(data, "p50 batch1 bfloat16") == names[1]
    with pytest.raises(InputError, match=f"fits 2 of the latencies measured: {names[0]}, {names[2]}$"):
        find_latency(data, "batch1")


def test_bad_input_says_what_is_allowed(demo_folder):
    data = load_report_data(demo_folder)
    with pytest.raises(InputError, match="did you mean 'knn top1'"):
        find_columns(data, "knn top2")
    with pytest.raises(InputError, match="fits 0 of the latencies measured: latency_p50_ms_batch1"):
        choose(demo_folder, "knn", None, {}, (4.0, "p50 batch7"))
    smallest = data.costs.parameters.min() / 1e6
    with pytest.raises(InputError, match=f"no measured size meets params.*lowest measured: params .M. {smallest:.2f}"):
        pick_text(choose(demo_folder, "knn", None, {"parameters": 10.0}, (None, "")))

"""`pick` against brute force, its words, and the command in a real process."""

import numpy as np
import pandas as pd
import pytest

from poa_bench.cli import main
from poa_bench.errors import InputError
from poa_bench.report.frame import load_report_data
from poa_bench.report.pick import amount, choose, find_column, pick, pick_text


@pytest.mark.parametrize("seed", range(20))
def test_pick_is_what_brute_force_says(seed):
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"spec": range(30), "score": random.integers(0, 9, 30), "parameters": random.permutation(30) + 1.0}
    )
    table["latency"] = random.random(30)
    table.loc[random.integers(0, 30, 4), "latency"] = np.nan
    limits = {"latency": 0.6, "parameters": 20.0}
    choice = pick(table, limits, "parameters")
    allowed = [row for _, row in table.iterrows() if row.latency <= 0.6 and row.parameters <= 20]
    order = sorted(allowed, key=lambda row: (-row.score, row.parameters))
    assert choice.best.spec == order[0].spec and choice.runner_up.spec == order[1].spec
    cheaper = [row for row in order if row.parameters < order[0].parameters]
    assert (choice.cheaper is None) == (not cheaper)
    assert not cheaper or choice.cheaper.spec == cheaper[0].spec
    assert choice.unknown == table.latency.isna().sum()


def test_words(demo_folder):
    found = choose(demo_folder, "knn", None, {"parameters": 0.5e6}, (None, ""))
    assert pick_text(found).splitlines() == [
        "knn top1 with params (M) <= 0.5000",
        "best:          vit-w64-d8 (pre-trained): 72.10; 0.3932 params (M), 0.02517 MACs (G), "
        "1.573 weights, float32 (MB), 5.120 latency p50, batch 1 (ms), 6.400 latency p95, batch 1 (ms)",
        "runner-up:     vit-w48-d8 (pre-trained): 71.10; 0.2212 params (M), 0.01416 MACs (G), "
        "0.8847 weights, float32 (MB), 3.840 latency p50, batch 1 (ms), 4.800 latency p95, batch 1 (ms)",
        "next cheaper:  vit-w48-d8 loses 1.00 and saves 44 % of params (M)",
        "export:        poa-bench extract work_dirs/poa/epoch_10.pth vit-w64-d8 -o vit-w64-d8.safetensors",
    ]


def test_secondary_metrics_and_latency_limits(demo_folder):
    found = choose(demo_folder, "det", "segm_mAP", {}, (4.0, "p50 batch1"))
    assert found["column"] == "detection segm_mAP"
    assert found["choice"].best.spec == "vit-w64-d6" and found["choice"].cheaper.spec == "vit-w48-d4"


def test_the_command(demo_folder, capsys):
    assert main(["pick", str(demo_folder), "--task", "seg", "--max-params", "0.3M"]) == 0
    assert "best:          vit-w64-d6" in capsys.readouterr().out
    assert main(["pick", str(demo_folder), "--task", "sharpness"]) == 2
    assert "'sharpness' was not measured: there are 'knn top1'" in capsys.readouterr().err


def test_bad_input_says_what_is_allowed(demo_folder):
    data = load_report_data(demo_folder)
    with pytest.raises(InputError, match="did you mean 'knn top1'"):
        find_column(data, "knn top2")
    with pytest.raises(InputError, match="write a positive number"):
        amount("lots")
    with pytest.raises(InputError, match="fits 0 of the latencies measured: latency_p50_ms_batch1"):
        choose(demo_folder, "knn", None, {}, (4.0, "p50 batch7"))
    with pytest.raises(InputError, match="no measured size has params"):
        pick_text(choose(demo_folder, "knn", None, {"parameters": 10.0}, (None, "")))
    assert amount("30M") == 30e6 and amount("1200") == 1200 and amount(None) is None

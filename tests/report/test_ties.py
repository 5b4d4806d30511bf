"""Intervals, ties and comparisons of a report whose results have outcomes; `test_bootstrap.py` judges the method."""

import io

import numpy as np
import pandas as pd
import pytest

from poa_bench.cli import main
from poa_bench.report.build import report_context, write_report
from poa_bench.report.compare import compare, read_side
from poa_bench.report.frame import load_report_data, report_data
from poa_bench.report.intervals import tie_table
from poa_bench.report.page import render
from poa_bench.report.pick import beaten_rows, candidates, pick
from poa_bench.report.sentences import headline, trust
from poa_bench.report.ties import group
from poa_bench.runs.outcome_files import OUTCOMES_FILE
from poa_bench.runs.results import results_frame, write_result
from tests.report.made import outcome_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("results")
    for result in outcome_results():
        write_result(result, path)
    return path


@pytest.fixture(scope="module")
def data(folder):
    return load_report_data(folder)


def mcnemar(first, second):
    """The z value of two networks on the same pictures."""
    gains, losses = (second & ~first).sum(), (first & ~second).sum()
    return (gains - losses) / max(gains + losses, 1) ** 0.5


def test_a_size_is_in_the_tie_where_mcnemars_test_cannot_tell_it_from_the_best(data):
    """With twelve sizes the limit of one side is between that of one test (1.64) and Bonferroni's of eleven (2.6)."""
    bits = {result.spec: result.outcomes["top1"].values for result in outcome_results()}
    best = max(bits, key=lambda spec: bits[spec].sum())
    distance = {spec: mcnemar(each, bits[best]) for spec, each in bits.items()}
    (series,) = data.pretrained
    tied = {spec for _, spec in group(data, "knn top1", [(series, spec) for spec in bits])}
    assert {spec for spec, z in distance.items() if z < 1.5} <= tied
    assert not tied & {spec for spec, z in distance.items() if z > 2.75}
    assert {f"vit-w80-d{depth}" for depth in (1, 2, 3)} <= tied and len(tied) < 10


def test_a_group_within_limits_holds_what_it_held_without_them(data):
    """A size that none of all beats, none of some beats: the statement is for every choice at once."""
    table, worse = candidates(data, "knn top1"), beaten_rows(data, "knn top1")
    whole = set(pick(table, {}, "parameters", worse).group.spec)
    for limit in table.parameters:
        choice = pick(table, {"parameters": limit}, "parameters", worse)
        assert whole & set(choice.allowed.spec) <= set(choice.group.spec)
        assert choice.best.parameters == choice.group.parameters.min()


def test_pick_names_the_cheapest_of_the_group_by_validation_scores(folder, capsys):
    assert main(["pick", str(folder), "--task", "knn"]) == 0
    lines = {line.partition(":")[0]: line.partition(":")[2].strip() for line in capsys.readouterr().out.splitlines()}
    data = load_report_data(folder, "knn")
    (series,) = data.pretrained
    group_of_val = group(data, "knn val_top1", [(series, spec) for spec in candidates(data, "knn val_top1").spec])
    cheapest = min(group_of_val, key=lambda key: data.costs.parameters[key])[1]
    assert lines["chosen"].startswith(f"{cheapest} (pre-trained)")
    assert lines["tie"].startswith(f"{len(group_of_val)} sizes cannot be told apart from the highest, ")
    assert lines["tie"].endswith("; the one with the least params (M) is chosen")
    cell = data.cells.set_index(["spec", "column"]).loc[(cheapest, "knn top1")]
    assert lines["interval"] == f"{cell.low:.2f} to {cell.high:.2f} (95 %, bootstrap over pictures and repeats)"


def test_the_report_has_intervals_and_groups(folder, tmp_path):
    write_report(folder, tmp_path, with_figures=False)
    table = pd.read_csv(tmp_path / "results_wide.csv")
    names = ["knn top1", "knn top1 low", "knn top1 high", "knn top1 group"]
    assert list(table)[list(table).index("knn top1") :][:4] == names
    assert ((table["knn top1 low"] < table["knn top1"]) & (table["knn top1"] < table["knn top1 high"])).all()
    share = table["knn top1"] / 100
    binomial = 2 * 1.96 * 100 * np.sqrt(share * (1 - share) / 500)
    assert (table["knn top1 high"] - table["knn top1 low"]).tolist() == pytest.approx(binomial.tolist(), rel=0.12)
    text = (tmp_path / "report.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| knn top1"))
    tied = (table["knn top1 group"] == "yes").sum()
    assert [cell.strip() for cell in row.split("|")][3:5] == ["12", str(tied)]
    best = table.loc[table["knn top1"].idxmax()]
    assert f"{best['size']}: {best['knn top1']:.2f} [{best['knn top1 low']:.2f}, {best['knn top1 high']:.2f}]" in row


def test_headlines_speak_of_what_cannot_be_told_apart(data):
    text = headline(data, "pre-trained", "knn top1")
    tied = int(tie_table(data)["in the tie"][0])
    assert text.endswith(f"; {tied - 1} of the other 11 cannot be told apart from the best on these pictures: a tie.")
    assert trust(data, 0)[1].startswith("The scores have 95 % intervals from the bootstrap over test pictures")


def test_missing_outcomes_fall_back_and_are_said(folder, tmp_path):
    for number, result in enumerate(outcome_results()):
        path = write_result(result, tmp_path)
        if number == 3:
            path.with_name(OUTCOMES_FILE).unlink()
    data = load_report_data(tmp_path)
    lost = outcome_results()[3].spec
    cells = data.cells[data.cells.column == "knn top1"].set_index("spec")
    assert cells.low.isna().sum() == 1 and np.isnan(cells.low[lost])
    assert "outcomes.npz" in render("report.md", report_context(data, "made"))
    assert any("1 file of outcomes could not be read" in sentence for sentence in trust(data, 0))
    without = report_data(results_frame(outcome_results()))
    assert without.cells.low.isna().all() and not without.samples


def test_series_are_compared_picture_by_picture(tmp_path):
    for place, name in enumerate("ab"):
        for result in outcome_results(series=2)[12 * place : 12 * place + 12]:
            write_result(result, tmp_path / name)
    table = compare([side for name in "ab" for side in read_side(str(tmp_path / name))])
    rows = table[table.metric == "top1"]
    first, second = (
        {each.spec: each.outcomes["top1"].values for each in outcome_results(2)[i : i + 12]} for i in (0, 12)
    )
    for row in rows.itertuples():
        changes = first[row.size].astype(int) - second[row.size]
        assert (row.high - row.low) / 2 == pytest.approx(1.965 * 100 * changes.std() / 500**0.5, rel=0.12)
        assert row.low < row.difference < row.high and row.error_first > (row.high - row.low) / 4  # pairs are closer
    assert (rows.lead == "ahead").all()  # 0.4 of a standard deviation


def test_compare_prints_intervals_and_how(tmp_path, capsys):
    for place, name in enumerate("ab"):
        for result in outcome_results(series=2, seeds=2)[24 * place : 24 * place + 24]:
            write_result(result, tmp_path / name)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--csv", str(tmp_path / "c.csv")]) == 0
    text = capsys.readouterr().out
    assert "In brackets is the 95 % interval of the difference" in text and " [+" in text
    table = pd.read_csv(io.StringIO((tmp_path / "c.csv").read_text()))
    ahead = (table[table.metric == "top1"].lead == "ahead").sum()
    assert ahead > 0 and f"on knn top1 b is ahead of a at {ahead} of 12 common sizes" in text
    assert {"low", "high", "p", "lead", "above_control"} <= set(table) and "sample_first" not in table


def test_the_report_does_not_call_a_spread_unknown_whose_intervals_it_shows(data):
    assert trust(data, missing=0)[0] == (
        "Every score comes from one run: intervals cover its pictures; how much another seed would differ is unknown."
    )

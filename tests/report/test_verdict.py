"""What may be said about scores: hand-made cases of every kind, on report, page, cards and command line alike."""

import math

import pytest
from scipy import stats

from poa_bench.cli import main
from poa_bench.report.analysis import series_rows, verdict
from poa_bench.report.build import report_context
from poa_bench.report.cards import card_contexts
from poa_bench.report.chart_data import chart_data
from poa_bench.report.figures import controls_fit
from poa_bench.report.frame import load_report_data, report_data
from poa_bench.report.latex import marked
from poa_bench.report.page import page_charts, page_html, render
from poa_bench.report.sentences import headline, payoff, rivals, trust
from poa_bench.report.tables import size_table
from poa_bench.runs.results import results_frame, write_result
from tests.report.made import made_result

SPECS = ("vit-w32-d1", "vit-w48-d1", "vit-w64-d1")
FACTS = {"test_images": 400, "classes": 10, "test_largest_class": 40, "test_smallest_class": 40}
# standard errors of 400 pictures: sqrt(0.5 * 0.5 / 400) = 2.5 points at 50 %, so that two scores there
# must be 2 * sqrt(2) * 2.5 = 7.07 apart


def scored(scores, initialisation="pretrained", metric="top1", task="knn", facts=FACTS, **changes):
    """Results of `SPECS` (or of no size) with these scores."""
    specs = [None] if initialisation == "pixels" else SPECS
    return [
        made_result(task, spec, initialisation, metrics={metric: score}, units={metric: "%"}, facts=facts, **changes)
        for spec, score in zip(specs, scores, strict=False)
    ]


PIXELS = scored([48.8], "pixels")
KINDS = {
    "raw pixels are better": (
        [*scored([20.0, 26.65, 25.0]), *PIXELS],
        "raw pixels (48.80) are better; the highest of 3 sizes, vit-w48-d1, has 26.65",
    ),
    "raw pixels are as good": (
        [*scored([40.0, 50.0, 30.0]), *PIXELS],
        "raw pixels (48.80) are as good (within the noise, ± 7.07); the highest of 3 sizes, vit-w48-d1, has 50.00",
    ),
    "a random network of another size is better": (
        [*scored([40.0, 50.0, 30.0]), *scored([70.0, 20.0, 20.0], "random")],
        "random initialisation (70.00) is better; the highest of 3 sizes, vit-w48-d1, has 50.00",
    ),
    "one control is better, one as good": (
        [*scored([40.0, 50.0, 30.0]), *scored([20.0, 70.0, 20.0], "random"), *PIXELS],
        "random initialisation (70.00) and raw pixels (48.80) are as good or better; the highest of 3 sizes, "
        "vit-w48-d1, has 50.00",
    ),
    "all zero": (
        [*scored([0.0, 0.0, 0.0]), *scored([0.0, 0.0, 0.0], "random")],
        "no conclusion is possible: every one of 3 sizes scores 0.00",
    ),
    "at chance": (  # 12 % of 400: standard error 1.62, and 12 - 10 < 2 * 1.62
        [*scored([9.0, 12.0, 10.0]), *scored([5.0, 5.0, 5.0], "random")],
        "no conclusion is possible: the highest of 3 sizes, vit-w48-d1, has 12.00, NOT above chance (10.00)",
    ),
    "no control": (
        scored([40.0, 60.0, 30.0]),
        "without a control nothing shows whether the scores are good; the highest of 3 sizes is vit-w48-d1 with 60.00",
    ),
    "no control and a tie": (
        scored([58.0, 60.0, 30.0]),
        "without a control nothing shows whether the scores are good; the highest of 3 sizes is vit-w48-d1 with "
        "60.00; 1 of the other 2 is within the noise (± 6.95): a tie",
    ),
    "two sizes": (
        [*scored([60.0, 75.0]), *PIXELS],
        "2 sizes are too few to call one the best: vit-w48-d1 has 75.00, above raw pixels (48.80); vit-w32-d1 has "
        "60.00",
    ),
    "one size": (
        [*scored([60.0]), *PIXELS],
        "one size is too few to call one the best: vit-w32-d1 has 60.00, above raw pixels (48.80)",
    ),
    "a tie": (
        [*scored([70.0, 72.0, 65.0]), *PIXELS],
        "the highest of 3 sizes is vit-w48-d1 with 72.00, above raw pixels (48.80); 1 of the other 2 is within the "
        "noise (± 6.42): a tie; the smallest of the tie is vit-w32-d1 with 44 % of its parameters",
    ),
    "the best": (
        [*scored([60.0, 65.0, 80.0]), *PIXELS, *scored([20.0, 30.0, 25.0], "random")],
        "the best of 3 sizes is vit-w64-d1 with 80.00, above raw pixels (48.80) and random initialisation (30.00); it "
        "is the largest; the smallest, vit-w32-d1, loses 20.00 and has 25 % of its parameters",
    ),
    "one run of an unknown test set": (
        [*scored([60.0, 65.0, 64.9], facts={}), *scored([20.0, 30.0, 25.0], "random", facts={})],
        "the highest of 3 sizes is vit-w48-d1 with 65.00, above random initialisation (30.00); the size of the noise "
        "is unknown; the largest, vit-w64-d1, has 64.90; the smallest, vit-w32-d1, loses 5.00 and has 44 % of its "
        "parameters",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_headline_of_each_kind(kind):
    results, expected = KINDS[kind]
    assert headline(report_data(results_frame(results)), "pre-trained", "knn top1") == f"knn top1: {expected}."


CHOSEN = {  # where several tie with the highest, `pick` speaks of the cheapest of them
    "at chance": "no conclusion is possible: the chosen one of 3 sizes, vit-w32-d1, has 9.00, NOT above chance (10.00)",
    "a tie": "the chosen one of 3 sizes is vit-w32-d1 with 70.00, above raw pixels (48.80); 1 of the other 2 is within "
    "the noise (± 6.42): a tie",
}


@pytest.mark.parametrize("kind", ["raw pixels are better", "at chance", "no control", "a tie", "the best", "all zero"])
def test_report_page_and_command_say_the_same(kind, tmp_path, capsys):
    results, expected = KINDS[kind]
    for result in results:
        write_result(result, tmp_path)
    data = load_report_data(tmp_path)
    context = report_context(data, "made")
    markdown, page = render("report.md", context), page_html(data, chart_data(data), context)
    assert f"- knn top1: {expected}.\n" in markdown and f"<li>knn top1: {expected}.</li>" in page
    assert main(["pick", str(tmp_path), "--task", "knn"]) == 0
    verdict_line = capsys.readouterr().out.splitlines()[1]
    said = verdict_line.removeprefix("verdict:").strip()
    assert verdict_line.startswith("verdict: ") and (
        said == CHOSEN[kind] if kind in CHOSEN else expected.startswith(said)
    )


def test_figures_never_hide_controls_that_are_as_good():
    """Sizes are within two points, controls twenty away: above the sizes they are drawn, below them left out."""
    ours = scored([26.0, 26.5, 25.0])
    for pixels, shown in ((48.8, True), (5.0, False)):
        data = report_data(results_frame([*ours, *scored([pixels], "pixels", facts={}), *scored([4.0] * 3, "random")]))
        drawn = chart_data(data)
        assert controls_fit(drawn, "s0") == shown
        caption = page_charts(data, drawn)["cost"]["caption"]
        assert caption.startswith("knn top1: raw pixels (48.80) are better; the highest of 3 sizes") == shown
        assert "Pareto front of knn top1 against parameters" in caption


def test_the_word_best_is_for_the_best_alone():
    for kind, (_, expected) in KINDS.items():
        assert ("the best of" in expected) == kind.startswith("the best")


def test_cards_and_the_pages_choice_say_what_one_size_is_worth():
    results = [*scored([60.0, 50.0, 8.0]), *PIXELS, *scored([20.0, 55.0, 8.0], "random")]
    data = report_data(results_frame(results))
    cards = card_contexts(data)
    worth = [cards[f"poa_{spec}"]["scores"][0][2] for spec in SPECS]
    assert worth == [
        "above raw pixels (48.80) and random initialisation (20.00)",
        "NOT above random initialisation (55.00) and raw pixels (48.80)",
        "NOT above chance (10.00), so no conclusion is possible",
    ]
    drawn = chart_data(data)
    rows = {row["spec"]: drawn.worth[int(row["v0"])] for row in drawn.rows if row["series"] == "pre-trained"}
    assert rows["vit-w32-d1"] == "above raw pixels and random initialisation"
    assert rows["vit-w48-d1"] == "NOT above random initialisation and raw pixels"


def test_a_number_without_a_direction_is_not_judged():
    metrics = {"rankme_share": 20.0, "alpha_req": 1.2}
    update = {"task": "rank", "protocol": "rank-n100/1", "metrics": metrics, "units": {}}
    data = report_data(results_frame([result.model_copy(update=update) for result in (made_result(), *PIXELS)]))
    (card,) = card_contexts(data).values()
    assert {row[0]: row[2] for row in card["scores"]} == {
        "rank rankme_share": "NOT above raw pixels (20.00)",
        "rank alpha_req": "–",
    }
    drawn = chart_data(data)
    (row,) = (row for row in drawn.rows if row["series"] == "pre-trained")
    assert {drawn.scores[name.replace("v", "s")] for name in row if name[0] == "v"} == {"rank rankme_share"}


def test_the_noise_of_a_test_set_is_the_binomial_distributions():
    data = report_data(results_frame(scored([37.0, 60.0, 30.0])))
    error = data.cells.set_index("spec").error["vit-w32-d1"]
    assert error == pytest.approx(100 * stats.binom(400, 0.37).std() / 400)


def test_repeats_and_test_pictures_add_up():
    seeds = [scored([value], seed=seed)[0] for seed, value in enumerate((60.0, 64.0, 68.0))]
    error = report_data(results_frame(seeds)).cells.error[0]
    assert error == pytest.approx(math.hypot(stats.sem([60, 64, 68]), 100 * math.sqrt(0.64 * 0.36 / 400)))
    unsaid = [scored([value], seed=seed, facts={})[0] for seed, value in enumerate((60.0, 64.0, 68.0))]
    assert report_data(results_frame(unsaid)).cells.error[0] == pytest.approx(stats.sem([60, 64, 68]))


def test_a_validation_score_has_the_noise_of_the_validation_pictures():
    (result,) = scored([60.0], facts={**FACTS, "val_images": 100})
    both = result.model_copy(
        update={"metrics": {"top1": 60.0, "val_top1": 60.0}, "units": {"top1": "%", "val_top1": "%"}}
    )
    errors = report_data(results_frame([both])).cells.set_index("column").error
    assert errors["knn val_top1"] == pytest.approx(2 * errors["knn top1"])
    box = made_result("detection", facts=FACTS)  # average precision is no share of pictures
    assert report_data(results_frame([box])).cells.error.isna().all()


def test_chance_of_an_imbalanced_set_is_its_largest_class():
    facts = {"test_images": 400, "classes": 4, "test_largest_class": 280, "test_smallest_class": 10}
    data = report_data(
        results_frame([*scored([65.0, 72.0, 60.0], facts=facts), *scored([50.0], "pixels", facts=facts)])
    )
    assert "has 72.00, NOT above chance (70.00)." in headline(data, "pre-trained", "knn top1")
    balanced = scored([65.0], metric="balanced_top1", facts={**facts, "test_balanced_images": 50})
    (cell,) = report_data(results_frame(balanced)).cells.itertuples()
    assert cell.chance == 25 and cell.error == pytest.approx(100 * stats.binom(50, 0.65).std() / 50)
    five = scored([65.0], metric="top5", facts=FACTS)
    assert report_data(results_frame(five)).cells.chance[0] == 50


def test_the_chosen_size_is_judged_where_another_one_scores_higher(tmp_path, capsys):
    """Validation scores choose the first size, which the test split does not confirm."""
    for spec, top1, val in zip(SPECS, (50.0, 75.0, 52.0), (80.0, 70.0, 60.0), strict=True):
        metrics = {"top1": top1, "val_top1": val}
        write_result(made_result(spec=spec, metrics=metrics, units=dict.fromkeys(metrics, "%"), facts=FACTS), tmp_path)
    write_result(scored([30.0], "pixels")[0], tmp_path)
    assert main(["pick", str(tmp_path), "--task", "knn top1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == (
        "verdict:       the chosen one of 3 sizes, vit-w32-d1, has 50.00, above raw pixels (30.00); vit-w48-d1 (75.00) "
        "is higher on this split"
    )
    assert lines[2].startswith("chosen:        vit-w32-d1 (pre-trained): 50.00;")


def test_the_cheapest_of_a_tie_is_chosen_and_it_is_said(tmp_path, capsys):
    for result in KINDS["a tie"][0]:
        write_result(result, tmp_path)
    main(["pick", str(tmp_path), "--task", "knn"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("chosen:        vit-w32-d1 (pre-trained): 70.00;")
    assert lines[3:5] == [
        "tie:           2 sizes cannot be told apart from the highest, vit-w48-d1 (pre-trained): vit-w32-d1, "
        "vit-w48-d1; the one with the least params (M) is chosen",
        lines[4],
    ] and lines[4].startswith("runner-up:     vit-w48-d1")
    main(["pick", str(tmp_path), "--task", "knn", "--max-params", "20K"])
    assert "tie:" not in capsys.readouterr().out  # w32 alone is so small


def test_gains_within_the_noise_are_not_called_gains():
    results = [*scored([52.0, 70.0, 40.0]), *scored([50.0, 50.0, 41.0], "random"), *scored([51.0], "pixels")]
    (sentence,) = payoff(report_data(results_frame(results)))
    assert "measured both ways (one run each); " in sentence
    assert sentence.endswith(
        "; it does NOT pay off at vit-w64-d1; the gain is within the noise at vit-w32-d1. NOT above raw pixels "
        "(51.00): vit-w64-d1. Above raw pixels (51.00), but within the noise: vit-w32-d1."
    )


def test_networks_that_differ_by_noise_are_not_ahead_of_each_other():
    alone = scored([51.0, 40.0, 69.0], checkpoint="alone.pth", sha="b" * 64)
    (sentence,) = rivals(report_data(results_frame([*scored([50.0, 60.0, 50.0]), *alone])))
    assert sentence == (
        "knn top1: alone (bbbbbbbb) is ahead of epoch_10 (aaaaaaaa) at 1 of 3 common sizes, behind at 1, and within "
        "the noise at 1; the difference is -20.00 to +19.00."
    )


def test_latex_marks_ties_and_nothing_at_chance():
    def marks(results):
        data = report_data(results_frame(results))
        table = size_table(data)
        return dict(zip(table["size"], marked(data, "knn top1", table), strict=True))

    assert marks(KINDS["a tie"][0]) == {SPECS[0]: True, SPECS[1]: True, SPECS[2]: False, "(none)": False}
    assert marks(KINDS["raw pixels are better"][0]) == {**dict.fromkeys(SPECS, False), "(none)": True}
    assert not any(marks(scored([0.0, 0.0, 0.0])).values()) and not any(marks(scored([9.0, 12.0, 10.0])).values())


def test_trust_says_what_a_tie_is_and_that_the_test_set_is_imbalanced():
    facts = {"test_images": 400, "classes": 4, "test_largest_class": 280, "test_smallest_class": 10}
    metrics = {"top1": 80.0, "balanced_top1": 40.0}
    result = made_result(metrics=metrics, units=dict.fromkeys(metrics, "%"), facts=facts)
    data = report_data(results_frame([result, made_result("detection")]))
    sentences = trust(data, missing=0)
    assert sentences[1] == (
        "Scores are within the noise where they differ by at most 2 standard errors of their difference; these come "
        "from repeats and from the number of test pictures, where the results say them; for detection "
        "bbox_mAP they say neither."
    )
    assert sentences[2].startswith(
        "The test set of digits is imbalanced (280 pictures of its largest class, 10 of its smallest): `balanced_top1`"
    )
    assert "| knn balanced_top1" in render("report.md", report_context(data, "made"))
    even = report_data(results_frame([result.model_copy(update={"facts": FACTS})]))
    assert "balanced_top1" not in render("report.md", report_context(even, "made"))


def test_an_older_version_of_a_protocol_is_read_and_named():
    data = report_data(results_frame([made_result("linear", protocol="linear-logreg-grid13-valsplit/1")]))
    assert any(
        "linear-logreg-grid13-valsplit/1 (now linear-logreg-grid13-valsplit/2)" in text for text in trust(data, 0)
    )
    context = report_context(data, "made")
    assert "which measures differently" in context["protocols"].sentence[0]


def test_several_series_are_told_apart():
    alone = scored([51.0, 40.0, 69.0], checkpoint="alone.pth", sha="b" * 64)
    data = report_data(results_frame([*scored([50.0, 60.0, 50.0]), *alone, *PIXELS]))
    first, second = data.pretrained
    assert verdict(data, "knn top1", series_rows(data, first, "knn top1")).score.name == "vit-w64-d1"
    assert headline(data, second, "knn top1").startswith(f"knn top1 ({second}): ")

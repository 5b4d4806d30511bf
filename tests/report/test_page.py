"""The page in a real browser (headless Chromium): it draws, sorts, filters, picks, hovers, prints and fits a phone."""

import os
import shutil

import pandas as pd
import pytest

from poa_bench.report.build import report_context
from poa_bench.report.chart_data import chart_data
from poa_bench.report.frame import load_report_data, report_data
from poa_bench.report.page import page_html
from poa_bench.report.pick import beaten_rows, candidates, pick
from poa_bench.report.samples import Draws
from poa_bench.runs.results import results_frame
from tests.report.made import made_result, outcome_results
from tests.report.test_verdict import KINDS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 300_000  # ms; machines that run tests may be busy

if CHROMIUM is None:
    pytest.skip("no Chromium on this machine: `apt-get install chromium` brings it", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="`pip install playwright` for the browser tests")


@pytest.fixture(scope="module")
def data(demo_folder):
    return load_report_data(demo_folder)


@pytest.fixture(scope="module")
def page_file(data, tmp_path_factory):
    return write_page(data, tmp_path_factory.mktemp("page"))


def write_page(data, folder, curves=None):
    path = folder / "index.html"
    path.write_text(page_html(data, chart_data(data, curves), report_context(data, "demo")), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=ARGUMENTS, color_scheme="light"
        )
        context.set_default_timeout(PATIENCE)
        yield context
        context.close()


@pytest.fixture(scope="module")
def opened(browser, page_file):
    """The page at desktop width, drawn, with what the console and the network said."""
    page = browser.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_selector("body[data-drawn]")
    return page


def column(page, number):
    return page.locator(f"#size-table tbody tr td:nth-child({number})").all_inner_texts()


def heading(page, text):
    names = page.locator("#size-table thead tr").first.locator("th").all_inner_texts()
    return [name.strip() for name in names].index(text) + 1


def keep_screenshot(page, name):
    """Pictures to look at, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_everything_is_drawn_without_errors_or_requests(opened, page_file):
    assert opened.complaints == []
    assert [url for url in opened.requests if url != page_file.as_uri() and not url.startswith("data:")] == []
    assert opened.locator(".chart svg.marks").count() == opened.locator("figure[data-chart]").count() >= 5
    keep_screenshot(opened, "desktop")


def test_sorting_is_numeric_and_works_from_the_keyboard(opened):
    place = heading(opened, "params (M)")
    opened.locator("#size-table thead tr").first.locator("th").nth(place - 1).locator("[tabindex='0']").focus()
    opened.keyboard.press("Enter")
    opened.wait_for_selector("#size-table th[aria-sort=ascending]")
    values = [float(text) for text in column(opened, place) if text != "–"]
    assert values == sorted(values) and len(set(values)) == 12
    opened.keyboard.press("Enter")
    opened.wait_for_selector("#size-table th[aria-sort=descending]")
    values = [float(text) for text in column(opened, place) if text != "–"]
    assert values == sorted(values, reverse=True)


def test_scores_with_a_spread_sort_by_their_mean(opened):
    place = heading(opened, "knn top1")
    opened.locator("#size-table thead tr").first.locator("th").nth(place - 1).click()
    opened.wait_for_selector(f"#size-table th:nth-child({place})[aria-sort=ascending]")
    values = [float(text.split()[0]) for text in column(opened, place)]
    assert values == sorted(values) and values[0] == 45.0


def test_filtering_by_column_and_over_all(opened):
    field = opened.get_by_label("Filter series", exact=True).first
    field.fill("random")
    opened.wait_for_function("document.querySelectorAll('#size-table tbody tr').length == 12")
    assert set(column(opened, 2)) == {"random initialisation"}
    field.fill("")
    search = opened.locator(".dt-search input").first
    search.fill("vit-w64")
    opened.wait_for_function("document.querySelectorAll('#size-table tbody tr').length == 6")
    search.fill("")
    opened.wait_for_function("document.querySelectorAll('#size-table tbody tr').length == 25")


def test_the_slider_gives_the_same_answers_as_the_command(opened, data):
    answer = opened.locator("#pick-answer")
    options = opened.locator("select[name=score] option").all()
    for option in options[:3]:
        opened.locator("#pick-form select").select_option(option.get_attribute("value"))
        table = candidates(data, option.inner_text())
        slider = opened.locator("input[name=c0]")
        for step, limit in enumerate(sorted(data.costs.parameters.unique())[:-1:3]):
            slider.fill(str(3 * step))
            worse = beaten_rows(data, option.inner_text())
            choice = pick(table, {"parameters": limit}, "parameters", worse)
            text = answer.inner_text()
            assert f"Chosen: {choice.best.spec} " in text
            assert "Its score is above random initialisation" in text
            assert choice.runner_up is None or f"Runner-up: {choice.runner_up.spec} " in text
            assert ("Next cheaper: " in text) == (choice.cheaper is not None)
            assert f"poa-bench export work_dirs/poa/epoch_10.pth {choice.best.spec}" in text
    assert slider.get_attribute("aria-valuetext") != "any"
    slider.focus()
    opened.keyboard.press("End")  # no limit
    assert slider.get_attribute("aria-valuetext") == "any"


def test_every_metric_is_a_click_away(opened):
    names = opened.locator("#size-table thead tr").first
    assert "detection segm_mAP" not in names.inner_text()
    opened.locator("#every-metric").check()
    assert "detection segm_mAP" in names.inner_text()
    field = opened.get_by_label("Filter detection segm_mAP", exact=True)
    field.fill("29.00")
    opened.wait_for_function("document.querySelectorAll('#size-table tbody tr').length == 1")
    field.fill("")
    opened.locator("#every-metric").uncheck()
    assert "detection segm_mAP" not in names.inner_text()


def test_hovering_a_point_tells_what_it_is(opened):
    opened.locator("figure[data-chart=cost]").scroll_into_view_if_needed()
    point = opened.locator("figure[data-chart=cost] .mark-symbol path[aria-roledescription=point]").first
    point.hover(force=True)
    tip = opened.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    assert "size" in tip.inner_text() and "vit-w" in tip.inner_text() and "params (M)" in tip.inner_text()


def test_choosing_a_score_redraws_with_the_front_that_python_finds(opened, data):
    figure = opened.locator("figure[data-chart=cost]")
    figure.locator("select[name=score]").select_option(label="detection bbox_mAP")
    opened.wait_for_function("document.querySelector('figure[data-chart=cost] svg').textContent.includes('detection')")
    drawn = figure.locator("path[aria-roledescription=point]").count()
    assert drawn == 3 + 3  # pre-trained and random
    assert "detection bbox_mAP against params (M)" in opened.locator("#cost > details").text_content()


def test_text_alternatives_and_labels(opened):
    for chart in opened.locator("figure[data-chart] .chart").all():
        assert len(chart.get_attribute("aria-label")) > 20
    unlabelled = opened.evaluate(
        "[...document.querySelectorAll('input, select')].filter(e => !e.labels?.length && !e.ariaLabel && !e.title"
        ").map(e => e.outerHTML)"
    )
    assert unlabelled == []
    assert opened.locator("h1").count() == 1 and opened.locator("html[lang=en]").count() == 1


def test_dark_mode_changes_the_page_and_the_axes(opened):
    background = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('figure svg [class*=role-axis] text')).fill"
    light = opened.evaluate(background), opened.evaluate(ink)
    opened.locator("#theme").click()
    dark = opened.evaluate(background), opened.evaluate(ink)
    keep_screenshot(opened, "dark")
    opened.locator("#theme").click()
    assert light == (opened.evaluate(background), opened.evaluate(ink))
    assert brightness(light[0]) > 200 > 60 > brightness(dark[0])
    assert brightness(dark[1]) > 180 > 80 > brightness(light[1])


def brightness(colour):
    return sum(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3


def test_on_paper_controls_are_gone_and_whole_tables_there(opened):
    opened.emulate_media(media="print")
    assert not opened.locator("nav").is_visible() and not opened.locator("#pick-form").is_visible()
    box = opened.locator("#size-table").locator("xpath=ancestor::div[contains(@class, 'scroll')]")
    assert box.evaluate("e => getComputedStyle(e).maxHeight") == "none"
    opened.emulate_media(media="screen")


def test_published_values_are_hollow_marks_that_say_whose_they_are(browser, tmp_path):
    results = [made_result(spec=spec, dataset="imagenet") for spec in ("vit-w384-d12", "vit-w768-d12")]
    results.append(made_result(spec="vit-w384-d12", dataset="imagenet", protocol="knn-k10-T0.07/1", shift=1))
    page = browser.new_page()
    page.goto(write_page(report_data(results_frame(results)), tmp_path).as_uri())
    page.wait_for_selector("body[data-drawn]")
    figure = page.locator("figure[data-chart=cost]")
    assert {"published: POA", "published: other methods"} <= set(
        figure.locator(".role-legend-label text").all_text_contents()
    )
    marks = figure.locator("path[aria-roledescription=point]").all()
    hollow = [mark for mark in marks if mark.get_attribute("fill") in (None, "transparent")]
    assert len(marks) - len(hollow) == 2 and len(hollow) > 10
    labels = " ".join(mark.get_attribute("aria-label") for mark in hollow)
    assert "method: DINO" in labels and "published score: 76.78" in labels
    answer = page.locator("#pick-answer").inner_text()
    assert "Chosen by knn top1 · knn-k10-T0.07/1: vit-w384-d12 (pre-trained)" in answer
    page.close()


def test_the_choice_says_what_its_score_is_worth_and_what_ties(browser, tmp_path):
    results, _ = KINDS["a tie"]
    page = browser.new_page()
    page.goto(write_page(report_data(results_frame(results)), tmp_path).as_uri())
    answer = page.locator("#pick-answer").inner_text()
    assert "Chosen: vit-w32-d1 " in answer and "Its score is above raw pixels." in answer
    assert (
        "A tie: 2 sizes cannot be told apart from the highest, vit-w48-d1 (pre-trained): vit-w32-d1, vit-w48" in answer
    )
    runner_up = answer.partition("Runner-up:")[2].partition("\n")[0]
    assert "vit-w48-d1" in runner_up and runner_up.endswith("(in the tie)")
    assert "Next cheaper:" not in answer
    page.close()


def test_the_page_and_the_command_find_the_same_groups(browser, tmp_path):
    data = report_data(results_frame(outcome_results()), draws=Draws.of_results(outcome_results()))
    page = browser.new_page()
    page.goto(write_page(data, tmp_path).as_uri())
    page.wait_for_selector("body[data-drawn]")
    table, worse, slider = candidates(data, "knn top1"), beaten_rows(data, "knn top1"), page.locator("input[name=c0]")
    sizes = set()
    for step, limit in enumerate(sorted(table.parameters)):
        slider.fill(str(step))
        choice, text = (
            pick(table, {"parameters": limit}, "parameters", worse),
            page.locator("#pick-answer").inner_text(),
        )
        assert f"Chosen: {choice.best.spec} " in text
        assert f"[{choice.best.low:.4g}, {choice.best.high:.4g}]" in text
        said = f"A tie: {len(choice.group)} sizes cannot be told apart from the highest, {choice.highest.spec} "
        assert (said in text) == (len(choice.group) > 1)
        sizes.add(len(choice.group))
    assert len(sizes) > 2  # ties of several kinds were seen
    whiskers = page.locator("figure[data-chart=cost] .mark-rule line").count()
    assert whiskers >= len(table) and page.locator("#ties table").count() == 1
    page.close()


def test_curves_are_stored_once_by_name_and_drawn_as_given(browser, data, tmp_path):
    values = {"loss": [1 / 3, 123456.789, -2.00005e-9, 0.0], "lr": [1e-4, 64.0, 0.9999949]}
    runs = {"pre-training <one>": ("loss", "lr"), "pre-training 二": ("loss", "lr"), "knn 'three'": ("loss",)}
    points = [
        (run, scalar, 20 * step + len(run), value)
        for run, scalars in runs.items()
        for scalar in scalars
        for step, value in enumerate(values[scalar])
    ]
    curves = pd.DataFrame(points, columns=["run", "scalar", "step", "value"])
    path = write_page(data, tmp_path, curves)
    assert path.read_text(encoding="utf-8").count("pre-training 二") == 1
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-drawn]")
    given, unpacked = chart_data(data, curves).curves, page.evaluate("report.datasets.curves")
    assert [{**row, "value": None} for row in unpacked] == [{**row, "value": None} for row in given]
    assert [row["value"] for row in unpacked] == pytest.approx([row["value"] for row in given], rel=5.1e-5, abs=0)
    figure = page.locator("figure[data-chart=curves]")
    assert set(figure.locator(".role-legend-label text").all_text_contents()) == set(runs)
    for scalar, count in (("loss", 3), ("lr", 2)):
        figure.locator("select[name=scalar]").select_option(scalar)
        sync_api.expect(figure.locator(".mark-line path")).to_have_count(count, timeout=PATIENCE)
        assert figure.locator("path[aria-roledescription=point]").count() == count * len(values[scalar])
    page.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(browser, page_file):
    page = browser.new_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(page_file.as_uri())
    page.wait_for_selector("body[data-drawn]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep_screenshot(page, "phone")
    page.close()

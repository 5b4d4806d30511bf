"""Galleries of the page: each picture stands in its cell, names are only text, what is broken or too much is said."""

import base64
import html
import io
import re

import pandas as pd
import pytest
from PIL import Image

from poa_bench.report import galleries as module
from poa_bench.report.build import report_context, write_report
from poa_bench.report.chart_data import chart_data
from poa_bench.report.frame import load_report_data
from poa_bench.report.galleries import page_galleries, within
from poa_bench.report.page import page_html
from poa_bench.runs.galleries import GALLERY_FILE, MISSING, Gallery, Picture, Row, read_galleries
from poa_bench.runs.results import write_result
from tests.report.made import made_result

SPECS = [f"vit-w{width}-d{depth}" for width, depth in ((48, 4), (48, 6), (64, 4), (80, 4), (96, 8))]
HOSTILE = '"><script>alert(1)</script>'


def picture(colour, caption="", **legend):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(stream, "WEBP", lossless=True)
    return Picture(data=stream.getvalue(), caption=caption, legend=legend)


def made_gallery(colour, name="Boxes", rows=3, caption="dog 0.9"):
    """Rows whose truth is grey and whose find is of the given colour, lighter from row to row."""
    each = [
        Row(
            name=f"picture {place}",
            truth=picture((50 * place, 50 * place, 50 * place), "one dog", dog="#123456"),
            found=picture(tuple(min(255, part + 20 * place) for part in colour), caption, dog="#123456"),
        )
        for place in range(rows)
    ]
    return Gallery(name=name, truth="annotation", about="Colours are classes.", rows=tuple(each))


def colour_of(spec, initialisation, seed=0):
    number = SPECS.index(spec) if spec else 5
    return (10 + 30 * number, 200 if initialisation == "random" else 0, 60 * seed)


def written(folder, tasks=("detection",), protocols=(None,)):
    """Results of all sizes and controls, each with a gallery of its own colour; by (spec, initialisation, seed)."""
    paths = {}
    for task in tasks:
        for protocol in protocols:
            changes = {"protocol": protocol} if protocol else {}
            for spec in SPECS:
                for initialisation in ("pretrained", "random"):
                    for seed in (1, 0):
                        result = made_result(task, spec, initialisation, seed=seed, **changes)
                        gallery = made_gallery(colour_of(spec, initialisation, seed))
                        paths[spec, initialisation, seed] = write_result(result.with_outcomes({}, [gallery]), folder)
            result = made_result(task, None, "pixels", **changes)
            paths[None, "pixels", 0] = write_result(
                result.with_outcomes({}, [made_gallery(colour_of(None, "pixels"))]), folder
            )
    return paths


def page_of(folder):
    data = load_report_data(folder)
    return page_html(data, chart_data(data, pd.DataFrame()), report_context(data, "made"))


def cells_of(page):
    """Of the first gallery: headings, and by row and column the bytes of the picture and its alternative text."""
    table = re.search(r'<div class="scroll gallery".*?</table>', page, re.DOTALL).group()
    parts = [re.findall("<span>(.*?)</span>", text) for text in re.findall(r'<th scope="col">(.*?)</th>', table)]
    headings = [html.unescape(": ".join(of_heading)) for of_heading in parts]
    rows = {}
    for row in re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", table, re.DOTALL):
        name = row.split("</th>")[0]
        found = re.findall(r"<td>(.*?)</td>", row, re.DOTALL)
        for heading, cell in zip(headings, found, strict=True):
            image = re.search(r'<img src="data:image/webp;base64,([^"]*)" alt="([^"]*)">', cell)
            rows[name, heading] = (base64.b64decode(image[1]), html.unescape(image[2])) if image else None
    return headings, rows


def test_every_picture_stands_in_the_cell_of_its_run(tmp_path):
    paths = written(tmp_path)
    headings, cells = cells_of(page_of(tmp_path))
    smallest, middle, largest = SPECS[0], SPECS[2], SPECS[-1]  # by parameters: 4*48^2 < 6*48^2 < 4*64^2 < ...
    expected = {
        f"smallest: {smallest}": (smallest, "pretrained", 0),
        f"middle: {middle}": (middle, "pretrained", 0),
        f"largest: {largest}": (largest, "pretrained", 0),
        f"random initialisation: {largest}": (largest, "random", 0),
        "raw pixels": (None, "pixels", 0),
    }
    assert headings == ["annotation", *expected]
    for heading, run in expected.items():
        (gallery,) = read_galleries(paths[run].with_name(GALLERY_FILE))
        for row in gallery.rows:
            data, alternative = cells[row.name, heading]
            assert data == row.found.data and alternative == f"Boxes, {row.name}, {heading}: dog 0.9"
            assert cells[row.name, "annotation"][0] == row.truth.data
            with Image.open(io.BytesIO(data)) as image:  # and it is the colour of that run
                place = gallery.rows.index(row)
                colour = tuple(min(255, part + 20 * place) for part in colour_of(*run))
                assert image.convert("RGB").getpixel((2, 2)) == colour


def test_sizes_show_the_same_pictures_row_by_row_and_a_row_that_one_lacks_is_a_dash(tmp_path):
    for spec, rows in ((SPECS[0], 3), (SPECS[-1], 2)):
        result = made_result("detection", spec)
        write_result(result.with_outcomes({}, [made_gallery(colour_of(spec, ""), rows=rows)]), tmp_path)
    headings, cells = cells_of(page_of(tmp_path))
    assert headings == ["annotation", f"smallest: {SPECS[0]}", f"largest: {SPECS[-1]}"]
    assert cells["picture 2", headings[1]] and cells["picture 2", headings[2]] is None
    assert cells["picture 2", "annotation"]


def test_names_are_only_text(tmp_path):
    rows = (Row(name=HOSTILE, truth=picture("red", HOSTILE, **{HOSTILE: "#ff0000"}), found=picture("blue", HOSTILE)),)
    gallery = Gallery(name=HOSTILE, truth=HOSTILE, about=HOSTILE, rows=rows)
    result = made_result("detection", SPECS[0]).with_outcomes({}, [gallery])
    write_result(result, tmp_path)
    page = page_of(tmp_path)
    assert "<script>alert(1)" not in page and page.count(html.escape(HOSTILE, quote=False).replace('"', "&#34;")) >= 8


def test_a_broken_or_missing_file_is_a_sentence_of_the_report(tmp_path):
    paths = written(tmp_path / "results")
    paths[SPECS[0], "pretrained", 0].with_name(GALLERY_FILE).write_text("{}")
    paths[SPECS[2], "pretrained", 0].with_name(GALLERY_FILE).unlink()
    failed = made_result("knn", SPECS[0], facts={MISSING: "OSError: <gone>"})
    write_result(failed, tmp_path / "results")
    write_report(tmp_path / "results", tmp_path / "report", with_figures=False)
    text, page = ((tmp_path / "report" / name).read_text() for name in ("report.md", "index.html"))
    assert "it is another run's" in text and "No such file" in text and "`index.html`, shows what the numbers" in text
    headings, _ = cells_of(page)
    assert headings[:2] == ["annotation", f"largest: {SPECS[-1]}"]
    assert "OSError: &lt;gone&gt;" in page


def test_protocols_with_the_same_pictures_are_one_table(tmp_path):
    names = ("mask-rcnn-a/1", "mask-rcnn-b/1")
    written(tmp_path, protocols=names)
    (table,) = page_galleries(load_report_data(tmp_path)).tables
    assert table.protocols == list(names) and table.title == "detection · digits-scenes · Boxes"


def test_tasks_with_the_same_pictures_are_one_table_and_others_are_not(tmp_path):
    written(tmp_path, tasks=("detection", "segmentation"))
    (table,) = page_galleries(load_report_data(tmp_path)).tables
    assert table.title == "detection, segmentation · digits-scenes · Boxes" and len(table.protocols) == 2
    other = made_result("detection", SPECS[0], protocol="mask-rcnn-other/1")
    write_result(other.with_outcomes({}, [made_gallery((1, 2, 3))]), tmp_path)
    first, second = page_galleries(load_report_data(tmp_path)).tables
    assert {first.title, second.title} == {table.title, "detection · digits-scenes · Boxes"}


def test_a_page_has_a_limit(tmp_path, monkeypatch):
    written(tmp_path, tasks=("detection", "knn"))
    data = load_report_data(tmp_path)
    whole = page_galleries(data)
    assert [len(table.rows) for table in whole.tables] == [3, 3] and whole.left_out == 0
    total = sum(table.size for table in whole.tables)
    for limit, rows, left_out in ((total, [3, 3], 0), (total - 1, [2, 2], 2), (total / 3 + 40, [1, 1], 4)):
        found, left = within(whole.tables, limit)
        assert [len(table.rows) for table in found] == rows and left == left_out
    found, left = within(whole.tables, total / 4)
    assert len(found) == 1 and left == 5 and within([], 100) == ([], 0)
    monkeypatch.setattr(module.page_galleries, "__defaults__", (total - 1,))
    page = page_of(tmp_path)
    assert "2 more rows are in the runs' folders" in re.sub(r"&#39;", "'", page)


def test_a_report_without_galleries_has_no_word_of_them(demo_folder):
    page = page_of(demo_folder)
    assert 'id="galleries"' not in page and "What the numbers mean" not in page
    assert "shows what the numbers mean" not in str(report_context(load_report_data(demo_folder), "made")["summary"])


@pytest.mark.parametrize("count", [1, 2])
def test_few_sizes_are_named_as_they_are(tmp_path, count):
    for spec in SPECS[:count]:
        write_result(made_result("detection", spec).with_outcomes({}, [made_gallery((1, 2, 3))]), tmp_path)
    (table,) = page_galleries(load_report_data(tmp_path)).tables
    assert table.columns[1:] == [[SPECS[0]], [f"smallest: {SPECS[0]}", f"largest: {SPECS[1]}"]][count - 1]

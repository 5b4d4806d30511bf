"""Galleries on disk: what was written is read, and what is broken, foreign or too large is said in one sentence."""

import io
import json

import pytest
from PIL import Image

from poa_bench.errors import InputError
from poa_bench.runs.galleries import (
    FILE_BYTES,
    GALLERY_FILE,
    MISSING,
    PICTURE_BYTES,
    Galleries,
    Gallery,
    Picture,
    Row,
    checked,
    handful,
    read_galleries,
    without_harm,
    write_galleries,
)
from poa_bench.runs.results import RESULT_FILE, read_result, write_result
from tests.report.made import made_result


def picture(colour="red", caption="", **legend) -> Picture:
    stream = io.BytesIO()
    Image.new("RGB", (24, 16), colour).save(stream, "WEBP", lossless=True)
    return Picture(data=stream.getvalue(), caption=caption, legend=legend)


def gallery(colour="red", name="Boxes", rows=2) -> Gallery:
    each = tuple(
        Row(name=f"picture {place}", truth=picture("white", "dog"), found=picture(colour, "dog 0.9", dog="#ff0000"))
        for place in range(rows)
    )
    return Gallery(name=name, truth="annotation", about="Colours are classes.", rows=each)


def test_what_was_written_is_read_and_every_writing_is_the_same(tmp_path):
    sha = write_galleries([gallery(), gallery("blue", "Maps")], tmp_path / "a")
    assert sha == write_galleries([gallery(), gallery("blue", "Maps")], tmp_path / "b")
    first, second = read_galleries(tmp_path / "a", sha)
    assert (first, second.name) == (gallery(), "Maps")
    with Image.open(io.BytesIO(second.rows[1].found.data)) as image:
        assert image.convert("RGB").getpixel((3, 3)) == (0, 0, 255)
    assert write_galleries([], tmp_path / "none") is None and not (tmp_path / "none").exists()


def test_a_result_takes_its_galleries_along_and_old_ones_read_as_before(tmp_path):
    read = read_result(write_result(made_result().with_outcomes({}, [gallery()]), tmp_path / "here"))
    assert list(read.galleries) == [gallery()] and read.run_id == made_result().run_id
    again = read_result(write_result(read.model_copy(update={"facts": {"series": "other"}}), tmp_path / "there"))
    assert list(again.galleries) == [gallery()] and again.gallery_sha256 == read.gallery_sha256
    path = write_result(made_result(), tmp_path / "old")
    said = json.loads(path.read_text())
    del said["gallery_sha256"]
    path.write_text(json.dumps(said))
    assert list(read_result(path).galleries) == [] and not path.with_name(GALLERY_FILE).exists()


def test_a_missing_a_foreign_and_a_broken_file_are_said(tmp_path):
    path = write_result(made_result().with_outcomes({}, [gallery()]), tmp_path)
    kept = path.with_name(GALLERY_FILE)
    whole = kept.read_bytes()
    for contents, message in ((whole[:100], "it is another run's"), (None, "No such file")):
        kept.unlink()
        if contents is not None:
            kept.write_bytes(contents)
        assert read_result(path).metrics == made_result().metrics  # numbers are there all the same
        with pytest.raises(InputError, match=message):
            list(read_result(path).galleries)
    for contents, message in (
        (whole[:100], "holds no galleries that can be read"),
        (b"x" * (2 * FILE_BYTES + 1), "more than galleries of a run may have"),
        (whole.replace(b"#ff0000", b"red;x:y"), "legend"),
        (json.dumps({"galleries": [{"name": "a"}]}).encode(), "truth"),
        (whole.replace(b'"data":"', b'"data":"AAAA', 1), "no WebP file"),
    ):
        kept.write_bytes(contents)
        with pytest.raises(InputError, match=message):
            read_galleries(kept)


def test_pictures_and_files_have_a_limit():
    with pytest.raises(ValueError, match="at most"):
        Picture(data=b"RIFF0000WEBP" + bytes(PICTURE_BYTES))
    full = Picture(data=b"RIFF0000WEBP" + bytes(PICTURE_BYTES - 12))
    rows = tuple(Row(name=str(place), truth=full, found=full) for place in range(8))
    large = [Gallery(name="a", truth="", about="", rows=rows)] * 2
    facts = {}
    assert checked(large, facts) == () and f"may have {FILE_BYTES}" in facts[MISSING]
    assert checked(large[:1], facts := {}) == large[:1] and not facts
    assert len(Galleries(galleries=tuple(large[:1])).model_dump_json()) < FILE_BYTES


def test_an_error_in_a_gallery_is_said_and_ends_nothing(caplog):
    facts = {}
    with without_harm(facts):
        raise ValueError("no colours")
    assert facts == {MISSING: "ValueError: no colours"} and "no colours" in caplog.text


def test_a_handful_is_spread_over_the_split():
    assert [handful(count) for count in (0, 1, 3, 4, 8, 150)] == [
        [], [0], [0, 1, 2], [0, 1, 2, 3], [1, 3, 5, 7], [18, 56, 93, 131]
    ]  # fmt: skip


def test_results_are_found_beside_galleries(tmp_path):
    path = write_result(made_result().with_outcomes({}, [gallery()]), tmp_path)
    assert sorted(each.name for each in path.parent.iterdir()) == [GALLERY_FILE, RESULT_FILE]

"""Comparisons: the paired test, published sides, and what is said when two sides do not match."""

import pytest
from scipy import stats

from poa_bench.errors import InputError
from poa_bench.report.compare import compare, read_side
from poa_bench.report.compare_words import comparison_text
from poa_bench.runs.results import write_result
from tests.report.made import made_result

SPECS = ("vit-w48-d4", "vit-w64-d4")


def folder(path, seeds, shifts=None, **changes):
    for spec in SPECS:
        for seed in seeds:
            shift = 0 if shifts is None else shifts[seed]
            write_result(made_result(spec=spec, seed=seed, shift=shift, **changes), path)
    return str(path)


def sides(*texts):
    return [side for text in texts for side in read_side(text)]


def test_paired_test_over_seeds(tmp_path):
    first = folder(tmp_path / "a", range(3))
    second = folder(tmp_path / "b", range(3), shifts=[1.0, 1.5, 0.7], sha="b" * 64)
    table = compare(sides(first, second))
    expected = stats.ttest_rel([1.0, 1.6, 0.9], [0.0, 0.1, 0.2]).pvalue
    assert table["size"].tolist() == list(SPECS)
    assert table.p.tolist() == pytest.approx([expected] * 2)
    assert table.difference.tolist() == pytest.approx([16 / 15] * 2)
    assert table.note.tolist() == ["", ""] and table.repeats.tolist() == [3, 3]


def test_only_common_seeds_are_compared_and_it_is_said(tmp_path):
    first, second = folder(tmp_path / "a", range(3)), folder(tmp_path / "b", [1], shifts={1: 2.0}, sha="b" * 64)
    table = compare(sides(first, second))
    assert table.difference.tolist() == pytest.approx([2.0, 2.0])
    assert table.p.isna().all() and table.note[0] == "measurement seeds [0, 1, 2] and [1]: common ones only"


def test_protocols_are_told_apart(tmp_path):
    first, second = (folder(tmp_path / name, [0], sha=name * 64) for name in "ab")
    for name, shift in (("a", 0.0), ("b", -1.0)):
        folder(tmp_path / name, [0], shifts={0: shift}, sha=name * 64, protocol="knn-k10-T0.07/1")
    write_result(made_result("linear", SPECS[0]), first)
    write_result(made_result("linear", SPECS[0], sha="b" * 64, shift=1.0), second)
    text = comparison_text([first, second])
    sentences = text.partition("\n")[0].removeprefix("b against a: ").removesuffix(".").split("; ")
    assert sentences == [
        "on knn top1 · knn-k10-T0.07/1 b is ahead of a at 0 of 2 common sizes, behind at 2 (no control was measured)",
        "on knn top1 · knn-k20-T0.07/1 b is ahead of a at 0 of 2 common sizes, and within the noise at 2 (no "
        "control was measured)",
        "on linear top1 b is ahead of a at 1 of 1 common size (no control was measured)",
    ]
    assert text.count("knn top1 · knn-k20-T0.07/1") == 1 + 2 and text.count("-1.00") == 2


def test_one_seed_gets_no_test_in_words(tmp_path):
    text = comparison_text([folder(tmp_path / "a", [0]), folder(tmp_path / "b", [0], shifts=[1], sha="b" * 64)])
    assert text.startswith("b against a: on knn top1 b is ahead of a at 2 of 2 common sizes") and "no test" in text


def test_controls_come_first_and_noise_is_no_lead(tmp_path):
    """400 test pictures: at 50 % two scores must be 7.07 apart; raw pixels have more than both at the first size."""
    facts = {"test_images": 400}
    for name, scores in (("a", (40.0, 60.0)), ("b", (48.0, 63.0))):
        for spec, value in zip(SPECS, scores, strict=True):
            write_result(made_result(spec=spec, metrics={"top1": value}, sha=name * 64, facts=facts), tmp_path / name)
    write_result(made_result(spec=None, initialisation="pixels", metrics={"top1": 50.0}, facts=facts), tmp_path / "a")
    text = comparison_text([str(tmp_path / "a"), str(tmp_path / "b")])
    assert text.startswith(
        "b against a: on knn top1 neither is above raw pixels at 1 of 2 sizes, and b is ahead of a at 1 of 2 common "
        "sizes, and within the noise at 1.\n"
    )
    row = compare(sides(str(tmp_path / "a"), str(tmp_path / "b"))).iloc[0]
    assert row.noise == pytest.approx(200 * ((0.4 * 0.6 + 0.48 * 0.52) / 400) ** 0.5)
    assert (row.control, row.control_score) == ("raw pixels", 50.0)


def test_published_rows_stay_marked_and_say_that_protocols_differ(tmp_path):
    write_result(made_result(spec="vit-w384-d12", dataset="imagenet", shift=-20), tmp_path)
    table = compare(sides("published:POA", str(tmp_path)))
    row = table[table.task == "knn"].iloc[0]
    assert row["first"] == "POA (published)" and row.mean_first == 76.78  # Table 13 has two decimals, Table 1 one
    assert row.note.startswith("protocols differ: k-NN on frozen features")
    assert row.repeats == 0 and row.p != row.p


def test_the_papers_own_claim_can_be_read_off(tmp_path):
    table = compare(sides("published:DINOv2", "published:POA"))
    gain = table[(table["size"] == "vit-w384-d12") & (table.task == "knn")].difference.iloc[0]
    assert gain == pytest.approx(76.8 - 72.2, abs=0.05)


def test_different_data_sets_are_not_compared(tmp_path):
    first, second = folder(tmp_path / "a", [0]), folder(tmp_path / "b", [0], dataset="letters", sha="b" * 64)
    with pytest.raises(InputError, match="nothing to compare"):
        compare(sides(first, second))
    third = folder(tmp_path / "c", [0], sha="c" * 64)
    assert comparison_text([first, second, third]).endswith("\n\nb: nothing in common with a")


def test_bad_sides(tmp_path):
    first = folder(tmp_path / "a", [0])
    with pytest.raises(InputError, match="name at least two"):
        compare(sides(first))
    with pytest.raises(InputError, match="no published numbers of 'Dino'"):
        read_side("published:Dino")
    with pytest.raises(InputError, match="has no series 'other'"):
        read_side(f"{first}:other")

"""The transcribed tables of the paper."""

import pytest
import vl_convert

from poa_bench.elastic import SearchSpace, SubnetSpec
from poa_bench.errors import InputError
from poa_bench.report import figures
from poa_bench.report.chart_data import chart_data
from poa_bench.report.frame import report_data
from poa_bench.report.published import FIELDS, beside, main_rows, read_published, same_dataset
from poa_bench.runs.results import results_frame
from tests.conftest import SHARED
from tests.report.made import made_result


@pytest.fixture(scope="module")
def published():
    return read_published()


def test_every_row_has_its_source_protocol_and_a_plausible_value(published):
    assert (published.source != "").all() and (published.protocol != "").all() and (published.dataset != "").all()
    assert published.value.between(5, 100).all()


def test_the_whole_tables_of_sizes_are_there(published):
    counts = published[published.table.isin(["13", "14", "15"])].groupby("table").spec.nunique()
    assert counts.to_dict() == {"13": 143, "14": 39, "15": 3 * 14 + 1}  # 15 prints one column's name twice: left empty
    vit = SearchSpace("vit", widths=range(384, 1025, 64), depths=range(12, 25), head_dim=64)
    table = published[published.table == "13"].set_index("spec").value
    assert {SubnetSpec.parse(spec) for spec in table.index} == set(vit)
    assert table.idxmax() == "vit-w896-d24" and table.max() == 82.42 and table["vit-w1024-d24"] == 82.27


def test_tables_agree_with_each_other_where_they_overlap(published):
    """Tables 13 to 15 print the same networks as Table 1, with one more decimal."""
    main = published[(published.table == "1 and 7") & (published.method == "POA") & (published.task == "knn")]
    fine = published[published.table.isin(["13", "14", "15"]) & (published.spec != "")].set_index("spec").value
    pairs = [(row.value, fine[row.spec]) for row in main.itertuples() if row.spec in fine]
    assert len(pairs) >= 8
    assert all(abs(coarse - exact) <= 0.051 for coarse, exact in pairs)


def test_every_number_of_the_facts_is_transcribed(published):
    facts = SHARED / "FACTS.md"
    if not facts.exists():
        pytest.skip("needs ../shared/FACTS.md beside the repository, which is not there")
    lines = [
        line
        for line in facts.read_text(encoding="utf-8").splitlines()
        if line.startswith("|1") or line.startswith("|2")
    ]
    values = published[published.table == "13"].set_index("spec").value
    for line in lines:
        depth, *cells = (cell.strip("* ") for cell in line.strip("|").split("|"))
        for width, cell in zip(range(384, 1025, 64), cells, strict=True):
            assert values[f"vit-w{width}-d{depth}"] == float(cell)


def test_published_rows_stand_beside_ours_only_for_the_same_data_set(published):
    ours = made_result(spec="vit-w384-d12", dataset="imagenet")
    table = beside(report_data(results_frame([ours])), published)
    assert set(table.task) == {"knn"} and set(table.dataset) == {"ImageNet-1K"}
    same = table[(table.spec == "vit-w384-d12") & (table.method == "POA")]
    assert (same.ours == f"{ours.primary:.2f} by knn-k20-T0.07/1").all() and table[
        table.spec == "vit-w768-d12"
    ].ours.isna().all()
    assert beside(report_data(results_frame([made_result()])), published).empty


def test_data_sets_of_similar_names_are_not_the_same():
    assert same_dataset("imagenet", "ImageNet-1K") and same_dataset("coco", "COCO") and same_dataset("ade20k", "ADE20K")
    assert not same_dataset("cifar10", "CIFAR-100") and not same_dataset("imagenet22k", "ImageNet-1K")
    assert not same_dataset("digits", "digits-scenes") and not same_dataset("inaturalist", "iNaturalist 2018")


def test_each_published_number_counts_once_and_variants_of_ablations_not(published):
    rows = main_rows(published)
    poa = rows[(rows.method == "POA") & (rows.spec == "vit-w384-d12") & (rows.task == "knn")]
    assert poa.value.tolist() == [76.78]  # 76.8 in Tables 1 and 4; 75.3 and others are ablations
    assert set(rows.variant) == {""}


def test_published_points_stand_where_axes_agree_at_the_cost_of_their_size():
    imagenet = [made_result(spec=spec, dataset="imagenet") for spec in ("vit-w384-d12", "vit-w448-d12")]
    digits = made_result("linear", spec="vit-w384-d12")
    drawn = chart_data(report_data(results_frame([*imagenet, digits])))
    knn = next(short for short, name in drawn.scores.items() if name == "knn top1")
    points = {(point["spec"], point["method"]): point for point in drawn.published}
    assert {spec for spec, _ in points} == {"vit-w384-d12", "vit-w448-d12"}  # no other size has a cost here
    assert points["vit-w384-d12", "DINO"][knn] == 74.5
    assert points["vit-w384-d12", "DINO"]["series"] == "published: other methods"
    assert points["vit-w448-d12", "POA"][knn] == 78.42
    assert points["vit-w448-d12", "POA"]["c0"] == pytest.approx(448 * 448 * 12 * 12 / 1e6)
    linear = next(short for short, name in drawn.scores.items() if name == "linear top1")
    assert not any(linear in point for point in drawn.published)  # measured on digits, published on ImageNet
    assert chart_data(report_data(results_frame([digits]))).published == []


def test_charts_with_published_values_are_drawn_hollow_and_named_so():
    results = [made_result(spec=spec, dataset="imagenet") for spec in ("vit-w384-d12", "vit-w768-d12")]
    drawn = chart_data(report_data(results_frame(results)))
    spec = figures.finished(figures.score_against_cost(drawn, ("s0", "c0")), drawn, "test")
    svg = vl_convert.vegalite_to_svg(spec)
    assert "published: POA" in svg and "published: other methods" in svg
    plain = chart_data(report_data(results_frame([made_result()])))
    svg = vl_convert.vegalite_to_svg(figures.finished(figures.score_against_cost(plain, ("s0", "c0")), plain, "test"))
    assert "published" not in svg


def test_bad_files_are_refused_with_the_reason(tmp_path):
    (tmp_path / "a.csv").write_text("table,value\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="published numbers need exactly"):
        read_published(tmp_path)
    row = dict.fromkeys(FIELDS, "x") | {"value": "high", "spec": ""}
    (tmp_path / "a.csv").write_text(",".join(FIELDS) + "\n" + ",".join(row.values()) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="takes numbers only"):
        read_published(tmp_path)

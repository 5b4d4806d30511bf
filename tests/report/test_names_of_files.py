"""Nothing that results say makes a report write outside its folder."""

from poa_bench.files import file_name
from poa_bench.report.build import write_report
from poa_bench.report.on_request import KINDS
from poa_bench.runs.results import write_result
from tests.report.made import made_result

HOSTILE = "/../../../../x"


def test_names_become_names_of_files():
    names = [HOSTILE, "../a", "..", ".hidden", "a/b\\c", "con\x00trol\n", "vit-w48-d4", "ü b"]
    found = [file_name(name) for name in names]
    assert found[6] == "vit-w48-d4"
    assert all("/" not in name and "\\" not in name and ".." not in name and name[0] != "." for name in found)


def test_report_of_hostile_names_stays_in_its_folder(tmp_path):
    results, out = tmp_path / "a" / "b" / "results", tmp_path / "a" / "b" / "report"
    facts = {"series": HOSTILE}
    for spec in ("vit-w48-d4", "vit-w96-d4"):
        for initialisation in ("pretrained", "random"):
            metrics = {f"{HOSTILE}/top1": 50.0, "top1": 40.0}
            units = dict.fromkeys(metrics, "%")
            write_result(made_result("knn", spec, initialisation, metrics=metrics, units=units, facts=facts), results)
        metrics = {f"latency_p50_ms_batch1{HOSTILE}": 3.0, f"{HOSTILE}latency_p50_ms_batch1": 2.0}
        write_result(made_result("profile", spec, metrics=metrics, units=dict.fromkeys(metrics, "ms")), results)
    write_report(results, out, also=[kind for kind in KINDS if kind not in ("png", "pdf")])
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"b"}
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {"results", "report"}

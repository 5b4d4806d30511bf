"""What a report writes by itself, what on request, and what is kept of the reports in the repository."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from poa_bench.cli import main
from poa_bench.report.on_request import write_parquet
from poa_bench.runs.results import results_frame
from tests.conftest import REPOSITORY
from tests.report.made import made_result

ALWAYS = {"report.md", "index.html", "results_long.csv", "results_wide.csv"}


def written(folder):
    """The files below a folder, figures and cards by their endings."""
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) if path.parent == Path(".") else f"{path.parent}/*{path.suffix}" for path in files}


INDEX = {"metafile.yml", "model-index.yml"}


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ([], {"figures/*.svg"}),
        (["--no-figures"], set()),
        (["--no-figures", "--also", "latex", "cards"], {"report.tex", "cards/*.md"}),
        (["--no-figures", "--also", "metafile", "parquet"], {*INDEX, "results_long.parquet"}),
        (["--no-figures", "--also", "pdf"], {"figures/*.pdf"}),
        (
            ["--all"],
            {
                *INDEX,
                "report.tex",
                "results_long.parquet",
                "cards/*.md",
                "figures/*.svg",
                "figures/*.png",
                "figures/*.pdf",
            },
        ),
    ],
)
def test_only_what_is_asked_for_is_written(demo_folder, tmp_path, options, more):
    assert main(["report", str(demo_folder), "-o", str(tmp_path), *options]) == 0
    assert written(tmp_path) == ALWAYS | more


def test_parquet_takes_what_is_a_number_in_one_run_and_a_text_in_another(tmp_path):
    results = [
        made_result(seed=0, config={"train.indices": 200}, facts={"threads": 2}),
        made_result(seed=1, config={"train.indices": "sha256 of a list"}, facts={"threads": "all"}),
    ]
    read = pd.read_parquet(write_parquet(results_frame(results), tmp_path / "long.parquet"))
    assert read["config.train.indices"].tolist() == ["200", "sha256 of a list"]
    assert read["facts.threads"].tolist() == ["2", "all"] and read.value.dtype == float


def test_files_of_an_earlier_report_are_named(demo_folder, tmp_path, capsys):
    assert main(["report", str(demo_folder), "-o", str(tmp_path), "--no-figures", "--also", "latex"]) == 0
    assert "not written anew" not in capsys.readouterr().out
    assert main(["report", str(demo_folder), "-o", str(tmp_path), "--no-figures"]) == 0
    assert "not written anew: 1 files of an earlier report (report.tex)" in capsys.readouterr().out


def test_a_missing_library_stops_before_anything_is_written(demo_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["report", str(demo_folder), "-o", str(tmp_path / "out"), "--all"]) != 0
    assert "needs pyarrow, which is not installed: pip install 'poa_bench[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["report", str(demo_folder), "-o", str(tmp_path / "out")]) == 0


def test_the_repository_keeps_only_what_cannot_be_made_of_the_rest():
    """Texts, tables and drawings of every kept report, and one page."""
    listed = subprocess.run(["git", "ls-files", "reports"], cwd=REPOSITORY, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [Path(line) for line in listed.stdout.splitlines()]
    assert {path.suffix for path in files} <= {".md", ".csv", ".svg", ".txt", ".html"}
    assert [path.as_posix() for path in files if path.suffix == ".html"] == ["reports/demo/index.html"]

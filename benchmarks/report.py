"""How long a report of 647 sizes x 8 tasks takes, and how large its page is: `python -m benchmarks.report`.

The results are made up; only their number matters. The aim is a page in less than 10 s and less than 5 MB.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from poa_bench.report.build import report_context
from poa_bench.report.chart_data import chart_data
from poa_bench.report.figure_files import write_figures
from poa_bench.report.frame import report_data
from poa_bench.report.page import page_html
from poa_bench.sweep.results import read_results, write_result
from tests.report.made import paper_scale_results

Value = TypeVar("Value")


def timed(name: str, function: Callable[[], Value]) -> Value:
    """Call, and print wall-clock and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    value = function()
    print(f"{name:28} {time.perf_counter() - wall:7.2f} s, {time.process_time() - processor:7.2f} s of processor")
    return value


def main() -> None:
    """Time each part once, on results in files."""
    with tempfile.TemporaryDirectory() as folder:
        for result in timed("make results", paper_scale_results):
            write_result(result, folder)
        long = timed("read result files", lambda: read_results(folder))
        print(f"{long.run_id.nunique()} runs, {long.spec.nunique()} sizes, {long.task.nunique()} tasks")
        data = timed("arrange", lambda: report_data(long))
        context = timed("tables and sentences", lambda: report_context(data, "benchmark"))
        drawn = timed("chart data", lambda: chart_data(data))
        page = timed("page", lambda: page_html(data, drawn, context))
        print(f"the page has {len(page.encode()) / 1e6:.2f} MB")
        timed("figures as files", lambda: write_figures(data, drawn, Path(folder) / "figures"))


if __name__ == "__main__":
    main()

"""How long a report of 647 sizes x 8 tasks takes, and how large its page is: `python -m benchmarks.report`.

The results are made up; only their number matters. The aim is a page in less than 10 s, from the first result file that
is read, and in less than 5 MB; figures as files come on top. The exit status is 1 where the aim is missed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from poa_bench.report.build import report_context
from poa_bench.report.chart_data import chart_data
from poa_bench.report.figure_files import write_figures
from poa_bench.report.figures import ChartData
from poa_bench.report.frame import ReportData, report_data
from poa_bench.report.page import page_html
from poa_bench.runs.results import read_results, write_result
from tests.report.made import paper_scale_results

MOST_SECONDS, MOST_MEGABYTES = 10.0, 5.0

Value = TypeVar("Value")


def timed(name: str, function: Callable[[], Value]) -> Value:
    """Call, and print wall-clock and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    value = function()
    print(f"{name:28} {time.perf_counter() - wall:7.2f} s, {time.process_time() - processor:7.2f} s of processor")
    return value


def page(folder: str) -> tuple[str, ReportData, ChartData]:
    """The page of the results in a folder and what it was made from, each part timed."""
    long = timed("read result files", lambda: read_results(folder))
    print(f"{long.run_id.nunique()} runs, {long.spec.nunique()} sizes, {long.task.nunique()} tasks")
    data = timed("arrange", lambda: report_data(long))
    context = timed("tables and sentences", lambda: report_context(data, "benchmark"))
    drawn = timed("chart data", lambda: chart_data(data))
    return timed("page itself", lambda: page_html(data, drawn, context)), data, drawn


def main() -> int:
    """Time each part once, on results in files."""
    with tempfile.TemporaryDirectory() as folder:
        for result in timed("make results", paper_scale_results):
            write_result(result, folder)
        start = time.process_time()  # one thread does it all: on an idle machine this is the wall clock's time
        text, data, drawn = page(folder)
        seconds, megabytes = time.process_time() - start, len(text.encode()) / 1e6
        print(
            f"the page took {seconds:.2f} s of processor (aim: {MOST_SECONDS:g}) and has {megabytes:.2f} MB", flush=True
        )
        timed("figures as files, on top", lambda: write_figures(data, drawn, Path(folder) / "figures", ["svg"]))
    return int(seconds > MOST_SECONDS or megabytes > MOST_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())

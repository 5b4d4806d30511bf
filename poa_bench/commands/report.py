"""Write tables, figures and one HTML page from a folder of results.

It writes report.md, index.html (one file that works offline), CSV files and SVG figures; `--also` and `--all` add
files for papers, other programs and model hubs.

Examples: poa-bench report results -o reports/mine
          poa-bench report results -o reports/mine --also latex pdf
"""

from pathlib import Path

from poa_bench.report.on_request import KINDS, left_over


def add_arguments(parser):
    parser.add_argument("results", metavar="RESULTS_DIR", help="folder with <run_id>/result.json at any depth")
    parser.add_argument(
        "-o", "--out", default="reports/report", metavar="DIR", help="folder of the report [%(default)s]"
    )
    parser.add_argument("--no-figures", action="store_true", help="leave out the SVG files")
    kinds = "; ".join(f"{kind}: {what}" for kind, what in KINDS.items())
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--also", nargs="+", choices=KINDS, default=[], metavar="KIND", help=f"also write: {kinds}")
    asked.add_argument("--all", action="store_true", help="also write all of these")
    parser.add_argument("--title", help="heading of the report [the folder's name]")


def run(args):
    from poa_bench.report.build import write_report

    files = write_report(args.results, args.out, args.title, not args.no_figures, KINDS if args.all else args.also)
    if old := left_over(Path(args.out), files):
        names = ", ".join(path.name for path in old[:3]) + (", ..." if len(old) > 3 else "")
        print(f"not written anew: {len(old)} files of an earlier report ({names}); remove them or request them again")
    print(f"wrote {len(files)} files; open {args.out}/index.html")

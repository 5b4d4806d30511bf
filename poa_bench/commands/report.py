"""Write tables, figures and one HTML page from a folder of results."""


def add_arguments(parser):
    parser.add_argument("results", metavar="RESULTS_DIR", help="folder with <run_id>/result.json at any depth")
    parser.add_argument(
        "-o", "--out", default="reports/report", metavar="DIR", help="folder of the report [%(default)s]"
    )
    parser.add_argument("--no-figures", action="store_true", help="leave out the SVG, PNG and PDF files")
    parser.add_argument("--title", help="heading of the report [the folder's name]")


def run(args):
    from poa_bench.report.build import write_report

    files = write_report(args.results, args.out, args.title, not args.no_figures)
    print(f"wrote {len(files)} files; open {args.out}/index.html")

"""Compare checkpoints, recipes or published methods, size by size.

Each side is a results folder (every pre-trained network in it), FOLDER:SERIES, or published:METHOD (published:POA).
"""


def add_arguments(parser):
    parser.add_argument("sides", nargs="+", metavar="SIDE", help="RESULTS_DIR, RESULTS_DIR:SERIES or published:METHOD")
    parser.add_argument("--task", help="this task only")
    parser.add_argument("--csv", metavar="FILE", help="write the table there too")


def run(args):
    from poa_bench.report.compare_words import comparison_text

    print(comparison_text(args.sides, args.task, args.csv))

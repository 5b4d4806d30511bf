"""Say which size to deploy within a budget, what comes second, and what the next cheaper size loses.

Sizes are chosen by validation scores where every size has one; the answer names the score that
decided, and shows the task's scores.
"""

from poa_bench.argument_types import amount


def add_arguments(parser):
    parser.add_argument("results", metavar="RESULTS_DIR", help="folder with <run_id>/result.json at any depth")
    parser.add_argument("--task", required=True, help="task, or the beginning of its name: knn, lin, det, seg")
    parser.add_argument("--metric", help="metric of the task [its primary one]")
    parser.add_argument("--max-params", type=amount, metavar="N", help="parameters at most: 30M, 1.2e6")
    parser.add_argument("--max-macs", type=amount, metavar="N", help="multiply-accumulates of one image at most: 4.5G")
    parser.add_argument("--max-file-mb", metavar="MB", type=amount, help="size of the float32 weights at most")
    parser.add_argument(
        "--max-latency-ms", metavar="MS", type=amount, help="latency at most, as the profile measured it"
    )
    parser.add_argument("--latency", default="p50 batch1", help="words in the name of the latency [%(default)s]")


def run(args):
    from poa_bench.report.pick import choose
    from poa_bench.report.pick_words import pick_text

    limits = {
        "parameters": args.max_params,
        "macs": args.max_macs,
        "weights": args.max_file_mb and args.max_file_mb * 1e6,
    }
    print(pick_text(choose(args.results, args.task, args.metric, limits, (args.max_latency_ms, args.latency))))

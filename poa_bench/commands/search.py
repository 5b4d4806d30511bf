"""Find the best size of a checkpoint within limits of parameters, MACs or latency.

All sizes are measured where at most 64 are within the limits, else an evolutionary search spends the budget.
Example: poa-bench search work_dirs/run/epoch_100.pth --task knn --dataset digits --max-params 30M --max-latency-ms 12
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench search`."""
    parser.add_argument("checkpoint", help="training checkpoint (.pth) of a poa_bench pre-training")
    parser.add_argument("--task", default="knn", choices=("knn", "linear"), help="what to be best at; default knn")
    parser.add_argument("--dataset", default="digits", help="evaluation data set, by name; default digits")
    parser.add_argument("--config", metavar="FILE", help="evaluation config of your own data set")
    parser.add_argument("--protocol", help="by name (knn-k20-T0.07/1); each task has a default")
    parser.add_argument("--max-params", type=_amount, metavar="N", help="such as 30M")
    parser.add_argument("--max-macs", type=_amount, metavar="N", help="such as 4.5G")
    parser.add_argument(
        "--max-latency-ms", type=float, metavar="MS", help="median at batch 1, measured on this machine"
    )
    parser.add_argument("--budget", type=int, metavar="N", help="sizes to measure at most")
    parser.add_argument("--seed", type=int, default=0, help="of the evolutionary search")
    parser.add_argument("--results", default="results/search", metavar="DIR", help="default results/search")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--gpus", type=int, default=0, metavar="N", help="use N GPUs")
    amount.add_argument("--jobs", type=int, metavar="N", help="without GPUs: N processes at a time")


def run(args: argparse.Namespace) -> None:
    """Print the best sizes."""
    from poa_bench.sweep.search import Limits, describe, search

    found = search(
        args.checkpoint,
        args.results,
        args.task,
        args.dataset,
        args.protocol,
        {"config": args.config} if args.config else None,
        Limits(args.max_params, args.max_macs, args.max_latency_ms),
        args.budget,
        args.seed,
        jobs=args.jobs,
        gpus=args.gpus,
    )
    print(describe(found, args.checkpoint))


def _amount(text: str) -> int:
    units = {"K": 1e3, "M": 1e6, "G": 1e9}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 1)
    try:
        return int(float(number) * unit)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount: write 30M, 4.5G or 22000000") from error

"""Find the best size of a checkpoint within limits on parameters, MACs or latency.

If at most 64 sizes are within the limits, all are measured; else an evolutionary search spends the budget. Sizes are
chosen by validation scores where the task has some (linear always, knn where the evaluation config has `val`).
Example: poa-bench search work_dirs/run/iter_1000.pth --task knn --dataset digits --max-params 30M --max-latency-ms 12
"""

import argparse

from poa_bench.argument_types import amount, not_negative, positive, seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench search`."""
    parser.add_argument("checkpoint", help="training checkpoint (.pth) of a poa_bench pre-training")
    parser.add_argument("--task", default="knn", help="light task to be best at: knn (default), linear, ...")
    parser.add_argument("--dataset", default="digits", help="evaluation data set, by name; default digits")
    parser.add_argument("--config", metavar="FILE", help="evaluation config of your own data set")
    parser.add_argument("--protocol", help="by name (knn-k20-T0.07/1); each task has a default")
    parser.add_argument("--max-params", type=amount, metavar="N", help="such as 30M")
    parser.add_argument("--max-macs", type=amount, metavar="N", help="such as 4.5G")
    parser.add_argument(
        "--max-latency-ms", type=amount, metavar="MS", help="median at batch 1, measured on this machine"
    )
    parser.add_argument("--budget", type=positive, metavar="N", help="measure at most N sizes")
    parser.add_argument(
        "--seed", type=seed, default=0, help="seed of the evolutionary search; measurements have seed 0"
    )
    parser.add_argument("--results", default="results/search", metavar="DIR", help="default results/search")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--gpus", type=not_negative, default=0, metavar="N", help="use N GPUs")
    where.add_argument("--jobs", type=positive, metavar="N", help="without GPUs: N processes at a time")


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

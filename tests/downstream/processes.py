"""Runs a function in two processes that are joined by gloo."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def in_two_processes(function: Callable[[], Any], folder: Path) -> list[Any]:
    """What the function returns in each of two processes (rank 0 first); it must be what `torch.save` can write.

    The processes are forked, so that nothing is imported again.
    """
    context = multiprocessing.get_context("fork")
    outputs = [folder / f"rank{rank}.pt" for rank in range(2)]
    processes = [context.Process(target=_join, args=(function, rank, folder, outputs[rank])) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(output, weights_only=True) for output in outputs]


def _join(function: Callable[[], Any], rank: int, folder: Path, output: Path) -> None:
    torch.set_num_threads(1)  # a forked process must not use its parent's pool of threads
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
    torch.save(function(), output)
    dist.destroy_process_group()

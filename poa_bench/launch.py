"""From the command line of `tools/train.py` and `tools/test.py` to a stock mmengine Runner."""

import argparse
import difflib
import inspect
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from poa_bench import config_files, config_values, resuming
from poa_bench.cost import is_pretraining, operations_per_image
from poa_bench.downstream.description import follow_checkpoint
from poa_bench.entry import RANKS
from poa_bench.errors import InputError
from poa_bench.locks import hold, owner
from poa_bench.patience import limit_of, set_limits
from poa_bench.plain_checkpoints import refuse_pickles
from poa_bench.pretraining.compute import ComputeHook
from poa_bench.pretraining.schedules import training_model

# what a launcher tells each process, and what starts it
LAUNCHERS = {
    "pytorch": (("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"), "torchrun"),
    "slurm": (("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"), "srun, one task a process"),
    "mpi": (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "MASTER_ADDR"), "mpirun, with MASTER_ADDR set"),
}
# of every training
_HOOKS = ("ClassNamesHook", "WholeCheckpointHook", "PreemptionHook", "RollCallHook", "LoaderAlarmHook")
OF_LAUNCH = ("auto_scale_lr", "custom_imports", "float32_matmul_precision", "runner_type")  # read before the Runner


def train(arguments: argparse.Namespace) -> None:
    """Train what the arguments of `tools/train.py` say.

    Raises:
        InputError: no such config or checkpoint, or an option that does not fit.
    """
    config = read_config(arguments)
    _check_complete(config, ("model", "train_dataloader", "train_cfg", "optim_wrapper"), "training")
    set_precision(config, arguments.amp)
    if arguments.auto_scale_lr:
        if "base_batch_size" not in config.get("auto_scale_lr", {}):
            raise InputError(
                "--auto-scale-lr needs auto_scale_lr.base_batch_size in the config (pre-training configs scale with "
                "the batch by themselves, see poa_bench.LearningRateScaleHook)"
            )
        config.auto_scale_lr.enable = True
    if arguments.resume == "auto":
        config.resume = "auto"
    elif arguments.resume is not None:
        config.update(resume=True, load_from=arguments.resume)
    if not config.get("resume"):
        refuse_used(config)
    with only_writer(config):
        build_runner(config, keys_of(arguments.cfg_options)).train()


@contextmanager
def only_writer(config: Config) -> Iterator[None]:
    """Within the block, no other training writes into the work directory; the first process sees to it.

    Raises:
        InputError: another one does.
    """
    if os.environ.get(RANKS.get(config.launcher, ""), "0") != "0":
        yield
        return
    folder = Path(config.work_dir)
    with hold(folder) as release:
        if release is None:
            other = owner(folder)
            named = f"process {other.pid} on {other.host}" if other else "another process"
            raise InputError(f"{folder} is in use by {named}: wait for it or stop it, or choose another --work-dir")
        yield


def test(arguments: argparse.Namespace) -> None:
    """Evaluate what the arguments of `tools/test.py` say."""
    config = read_config(arguments)
    _check_complete(config, ("model", "test_dataloader", "test_cfg", "test_evaluator"), "test")
    config.load_from = arguments.checkpoint
    if arguments.tta:
        augment_test(config)
    build_runner(config, keys_of(arguments.cfg_options)).test()


def read_config(arguments: argparse.Namespace) -> Config:
    """The config with launcher, overrides and work directory (command line, else config, else work_dirs/NAME)."""
    config = config_files.read_config(arguments.config)
    config.launcher = arguments.launcher
    override(config, arguments.cfg_options)
    name = Path(arguments.config).stem
    arguments.work_dir = arguments.work_dir or config.get("work_dir") or str(Path("work_dirs", name))
    config.work_dir = arguments.work_dir
    config_values.check_config(config)
    return config


def augment_test(config: Config) -> None:
    """Let the test see each picture several times and merge what the network says, as mmseg's `--tta` does.

    Raises:
        InputError: the config does not say how.
    """
    if missing := [name for name in ("tta_model", "tta_pipeline") if config.get(name) is None]:
        raise InputError(
            f"--tta: {config.filename} has no {missing[0]}; the segmentation configs have one, and mmdet has none for "
            "masks (docs/testing.md says how boxes alone are tested so)"
        )
    config.model = {**config.tta_model, "module": config.model}
    config.test_dataloader.dataset.pipeline = config.tta_pipeline


def refuse_used(config: Config) -> None:
    """Raises InputError if a run has left checkpoints there: a new one would replace them without a word."""
    folder, last = resuming.checkpoint_folder(config), Path(config.work_dir, resuming.LAST)
    found = Path(last.read_text()).name if last.is_file() else next((p.name for p in resuming.numbered(folder)), None)
    if found:
        raise InputError(f"{folder} holds a run ({found}): add --resume to go on with it, or choose another --work-dir")


def override(config: Config, options: list[str]) -> None:
    """Apply `--cfg-options`.

    Raises:
        InputError: one is not KEY=VALUE, does not fit the config, or nothing would read it.
    """
    known = {*config, *inspect.signature(Runner).parameters, *OF_LAUNCH}
    parsed = [_parse(config, option, known) for option in options]
    for key, value, _ in parsed:
        config_files.replace_values(config, {key: value})
    for key, value, words in parsed:  # now that it is known what they are for: a folder may be named 2024, true or a,b
        hint = config_values.hint_of(config, key)
        if not config_values.fits(value, hint) and config_values.fits(words, hint):
            config_files.replace_values(config, {key: words})


def _parse(config: Config, option: str, known: set[str]) -> tuple[str, Any, str]:
    """The key, the value and the words of one `--cfg-options`."""
    if (name := re.split(r"[.=]", option)[0]) not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"--cfg-options {option}: nothing reads an entry {name!r} of {config.filename}{hint}")
    if "=" not in option:
        raise InputError(f"--cfg-options {option}: it is not KEY=VALUE")
    found = argparse.Namespace()
    try:
        DictAction(["--cfg-options"], "cfg_options")(None, found, [option])
    except (ValueError, AssertionError) as error:
        raise InputError(f"--cfg-options {option}: the value cannot be read: {error}") from error
    ((key, value),) = found.cfg_options.items()
    return key, value, option.partition("=")[2].strip("'\"")


def keys_of(options: list[str]) -> list[str]:
    """The keys of `--cfg-options`."""
    return [option.partition("=")[0] for option in options]


def build_runner(config: Config, given: list[str] | None = None) -> Runner:
    """The Runner of a config; several processes without a GPU, of torchrun or Slurm, talk through gloo.

    Args:
        config: it is left as it is.
        given: keys that the command line has set; what else makes up the backbone of a dense model is as the checkpoint
            says that it starts from. None: the config has settled all of it.
    """
    # mmengine keeps what was trained in the work directory, under the config's name; mim wants that name to be unique
    # in the whole checkout
    source = Path(config.filename)
    own_name = str(source.with_stem(f"{source.stem}_resolved"))
    # its text is made for the log and again for every file and checkpoint: yapf takes a third of a second each time
    config = Config(config.to_dict(), filename=own_name, cfg_text=config.text, format_python_code=False)
    refuse_pickles()
    config_values.check_config(config)
    notes = resuming.choose_start(config)
    if given is not None:
        notes += follow_checkpoint(config, given)
    hook = config.get("default_hooks", {}).get("checkpoint") or {}
    if hook.get("type") == "CheckpointHook":
        hook.type = "poa_bench.SafeCheckpointHook"
    set_limits(config)
    set_float32_precision(config)
    _check_launcher(config.launcher)
    ours = [dict(type=f"poa_bench.{name}") for name in _HOOKS]
    config.custom_hooks = [*ours, *(other for other in config.get("custom_hooks") or () if other not in ours)]
    if config.launcher in ("pytorch", "slurm") and not torch.cuda.is_available():
        if not torch.distributed.is_initialized():
            if config.launcher == "slurm":
                _read_slurm()
            torch.distributed.init_process_group("gloo", timeout=limit_of(config))
        wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False}
        config.model_wrapper_cfg = {**wrapper, **(config.get("model_wrapper_cfg") or {}), "device_ids": None}
    runner = RUNNERS.build(config) if "runner_type" in config else Runner.from_cfg(config)
    if is_pretraining(config):
        runner.register_hook(ComputeHook(operations_per_image(training_model(runner), config)))
    for note in notes:
        runner.logger.warning(note)
    return runner


def _check_launcher(launcher: str) -> None:
    names, command = LAUNCHERS.get(launcher, ((), ""))
    if missing := [name for name in names if name not in os.environ]:
        raise InputError(f"--launcher {launcher} found no {missing[0]}: start the command with {command}")


def _read_slurm() -> None:
    """Tell torch what Slurm says of this process, as mmengine does for processes that have a GPU."""
    ours = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    os.environ.update({name: os.environ[theirs] for name, theirs in zip(ours, LAUNCHERS["slurm"][0], strict=True)})
    if "MASTER_ADDR" not in os.environ:
        hosts = ["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]]
        os.environ["MASTER_ADDR"] = subprocess.run(hosts, check=True, capture_output=True, text=True).stdout.split()[0]
    os.environ.setdefault("MASTER_PORT", "29500")


def set_float32_precision(config: Config) -> None:
    """Tell torch what the config says about products of float32 matrices.

    Raises:
        InputError: an unknown value.
    """
    precision = config.get("float32_matmul_precision", "highest")
    if precision not in ("highest", "high", "medium"):
        raise InputError(f"float32_matmul_precision is {precision!r}: use 'highest', 'high' (TF32) or 'medium'")
    torch.set_float32_matmul_precision(precision)


def set_precision(config: Config, amp: str | None) -> None:
    """Write `--amp` into the config."""
    if amp is None:
        return
    if amp == "float16" and not torch.cuda.is_available():
        raise InputError("--amp float16 needs a GPU, none was found: use --amp bfloat16")
    if amp == "float16":
        config.optim_wrapper.update(type="AmpOptimWrapper", dtype="float16", loss_scale="dynamic")
    else:
        config.optim_wrapper.type = "poa_bench.Bfloat16OptimWrapper"
        for of_float16 in ("dtype", "loss_scale"):
            config.optim_wrapper.pop(of_float16, None)


def _check_complete(config: Config, needed: tuple[str, ...], purpose: str) -> None:
    """Raises InputError unless the config has the entries, with batches of at least one image."""
    if missing := [name for name in needed if config.get(name) is None]:
        raise InputError(
            f"{config.filename} is not a {purpose} config, as it has no {', '.join(missing)}: `poa-bench config-path` "
            "lists the project's (sweeps are for `poa-bench run`)"
        )
    batch = config[needed[1]].get("batch_size", 1)
    if not isinstance(batch, int) or batch < 1:
        raise InputError(f"{needed[1]}.batch_size is {batch!r}: it must be a whole number from 1 on")

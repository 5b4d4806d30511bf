"""Adds the config files and the start of mmcv's operators to the wheel; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

FOLDERS = ("configs", "pretrain", "downstream", "reports/published")
FILES = ("tools/train.py", "tools/test.py", "model-index.yml")


class BuildPyWithConfigs(build_py):
    """Copies the config folders to ``poa_bench/.mim``, where mim looks for them, in the build directory only.

    Links in the source tree (OpenMMLab's usual way) would make every config name ambiguous for mim in a checkout.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "poa_bench", ".mim")
        for folder in FOLDERS:
            shutil.copytree(folder, target / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        for file in FILES:
            (target / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target / file)


class DistributionWithData(Distribution):
    """setuptools leaves data files out of editable installs, where it asks whether there are any by another name."""

    has_data = Distribution.has_data_files


setup(
    distclass=DistributionWithData,
    cmdclass={"build_py": BuildPyWithConfigs},
    # beside the packages, in editable installs too: what Python reads at its start (see `poa_bench/operators`)
    data_files=[("../purelib", ["poa_bench_operators.pth"])],
)

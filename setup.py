"""Adds the config files to the wheel; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("configs", "pretrain", "downstream", "reports/published")
FILES = ("tools/train.py", "tools/test.py")


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


setup(cmdclass={"build_py": BuildPyWithConfigs})

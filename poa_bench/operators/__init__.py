"""mmcv's operators, from torchvision: no compiler, and every device that torchvision was built for.

`mmcv.ops` imports a compiled module, `mmcv._ext`. Where mmcv was built without it, `find_spec` gives `mmcv_ext.py` of
this folder in its place. It is asked last, so that a compiled module is taken where there is one. An installation asks
from the start of Python on (`poa_bench_operators.pth`), since mmdet's own tools import mmcv before they know of us.

Nothing slow is imported here: every import of the package passes through.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

NAME = "mmcv._ext"


def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
    """Where Python finds the module `name`: for `mmcv._ext` the one of this folder, else None."""
    return spec_from_file_location(NAME, Path(__file__).with_name("mmcv_ext.py")) if name == NAME else None


def install() -> None:
    """Let Python ask `find_spec` after all other finders; once, however often this is called."""
    this = sys.modules[__name__]  # a module with `find_spec` is all that a finder has to be
    if this not in sys.meta_path:
        sys.meta_path.append(this)

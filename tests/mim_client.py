"""What mim, in a process of its own, finds of this project."""

import json
import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import json
from mim.commands.list import list_package
from mim.commands.run import run
from mim.commands.search import get_model_info
from mim.utils import get_installed_path

done, _ = run("poa_bench", "train", other_args=("-h",))
small = get_model_info("poa_bench", filter_conditions="parameters<700000 linear_top1>79")
digits = get_model_info("poa_bench", training_datasets=["digits"], sorted_fields=["parameters"])
table = get_model_info("poa_bench")
print("\\nfound:" + json.dumps({
    "listed": [name for name, *_ in list_package()],
    "ran": done,
    "root": get_installed_path("poa_bench"),
    "models": json.loads(table.to_json(orient="index")),
    "small": list(small.index),
    "digits": list(digits.index),
}))
"""


def seen_by_mim(folder: Path, path: str = "") -> dict:
    """Run mim's commands in a folder that has nothing of the project; `path` comes first in the search for packages."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | ({"PYTHONPATH": path} if path else {})
    line = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--cfg-options" in done.stdout  # what `mim run poa_bench train -- -h` shows
    return json.loads(done.stdout.rpartition("found:")[2])

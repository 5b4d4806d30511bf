"""The README shows what the kept report says and names files and commands that exist."""

import importlib.util
import re
from pathlib import Path

import pytest

from poa_bench.cli import build_parser
from poa_bench.config_files import find_config
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/architecture.md"]


def test_results_are_those_of_the_kept_report():
    if not (REPOSITORY / "reports" / "demo").is_dir():
        pytest.skip("reports/demo is not there: keep the report of a whole `poa-bench demo` in it")
    spec = importlib.util.spec_from_file_location("update_readme", REPOSITORY / "tools" / "update_readme.py")
    update_readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update_readme)
    assert update_readme.fill(README, update_readme.results_block()) == README, "run python tools/update_readme.py"
    assert (REPOSITORY / update_readme.FIGURE).is_file()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_config_names_lead_somewhere(document):
    text = (REPOSITORY / document).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (REPOSITORY / document).parent.joinpath(target).exists(), target
    for name in re.findall(r"mim train poa_bench ([\w-]+\.py)", text):
        if name != "CONFIG.py":
            assert Path(find_config(name)).is_file()


def test_every_command_shown_exists():
    shown = set(re.findall(r"`?poa-bench ([a-z][a-z-]+)", README))
    parser = build_parser()
    known = next(action.choices for action in parser._actions if action.dest == "command")
    assert shown and shown <= set(known)

"""Commands that are printed are commands: the real parser reads back from each what was meant, for hostile names."""

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from poa_bench.cli import build_parser
from poa_bench.printed import assignment, command, read_value
from poa_bench.report.fill import command as missing_command
from poa_bench.report.origin import export_command
from poa_bench.sweep.options import _assignment
from poa_bench.sweep.search import describe

NAMES = [
    "plain", "two words", "it's", 'a "quote"', "$HOME", "`id`", "a;b", "a|b&c", "$&", "-leading", "--flag", "-5",
    "5", "5.0", "None", "True", "true", "null", "[1, 2]", "{}", "'quoted'", '"quoted"', "a=b", "a,b", "line\nbreak",
    "ünïcode", "a\\b", "~", "*", "#comment", "!history", "%s", "{x}", "  spaces  ", "1e400", "NaN", "[" * 5000,
]  # fmt: skip


def parsed(line: str):
    """What the command line's own parser makes of a printed line."""
    program, *words = shlex.split(line)
    assert program == "poa-bench"
    return build_parser().parse_args(words)


@pytest.mark.parametrize("name", NAMES)
def test_export(name):
    for branch in ("", "student"):
        found = parsed(export_command(name, "vit-w64-d4", branch))
        assert (found.command, found.checkpoint, found.spec) == ("export", name, "vit-w64-d4")
        assert found.output == "vit-w64-d4.safetensors" and found.branch == (branch or None)


@pytest.mark.parametrize("name", NAMES)
def test_search(name):
    fields = {"scores": {}, "candidates": 3, "results": "r", "metric": "a", "reported_metric": "a", "split": "test"}
    line = describe(SimpleNamespace(**fields, best="vit-w64-d4"), name).partition("chosen: vit-w64-d4; ")[2]
    assert parsed(line).checkpoint == name


@pytest.mark.parametrize("name", NAMES)
def test_missing_light_cell(name):
    how = {"now": "knn-k20-T0.07/1", "kind": "pretrained", "data": name, "amp": None, "branch": None, "series": name}
    line = SimpleNamespace(task="knn", seed=3, specs=["vit-w64-d4"], checkpoint=name, how=json.dumps(how))
    found = parsed(missing_command(line, name))
    assert (found.checkpoint, found.data, found.output, found.series) == (name,) * 4
    assert (found.seeds, found.specs, found.tasks) == ([3], ["vit-w64-d4"], ["knn"])


@pytest.mark.parametrize("name", NAMES)
def test_missing_dense_cell(name):
    entry = {"settings": {"config": "c.py", "cfg_options": {"a.b": None, "c": True, "d": name}}}
    how = {"kind": "pretrained", "series": name, "sweep": "sweep_digits", "entry": entry}
    line = SimpleNamespace(task="detection", seed=1, specs=["vit-w64-d4"], checkpoint=name, how=json.dumps(how))
    found = parsed(missing_command(line, name))
    assert (found.sweep, found.checkpoint, found.results) == ("sweep_digits", [name], name)
    values = dict(map(_assignment, found.set))
    assert values["series"] == name
    assert values["tasks"] == [
        {"task": "detection", "specs": ["vit-w64-d4"], "initialisations": ["pretrained"], "seeds": [1], **entry}
    ]


@pytest.mark.parametrize("name", NAMES)
def test_missing_cell_of_a_network_from_outside(name):
    outside = {"timm": "timm:vit_tiny_patch16_224", "arguments": {"act_layer": name}, "image_size": 64}
    how = {"now": "knn-k20-T0.07/1", "kind": "pretrained", "data": "digits", "amp": None, "branch": None}
    how |= {"series": None, "outside": outside}
    line = SimpleNamespace(task="knn", seed=0, specs=["x"], checkpoint=name, how=json.dumps(how))
    found = parsed(missing_command(line, "r"))
    assert (found.checkpoint, found.weights, found.image_size) == ("timm:vit_tiny_patch16_224", name, 64)
    assert found.timm_arguments == {"act_layer": name}


@pytest.mark.parametrize("value", [*NAMES, 5, 2.5, None, True, [1, "5"], {"a": None}, ""])
def test_values_are_read_back(value):
    key, found, text = assignment("key", value).partition("=")
    assert (key, found) == ("key", "=") and read_value(text) == value and type(read_value(text)) is type(value)


def test_words_before_and_after_options():
    assert command("export", "a.pth", "vit-s", o="b") == "poa-bench export a.pth vit-s -o b"
    assert command("export", "-a.pth", o="b") == "poa-bench export -o b -- -a.pth"


def test_nobody_else_writes_commands():
    """A name that is put into a text beside `poa-bench` would not be quoted."""
    found = []
    for path in Path("poa_bench").rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            start, called, rest = line.partition("poa-bench ")
            if called and "{" in rest and path.name not in ("printed.py", "cli.py"):
                found.append(f"{path}:{number}: {line.strip()}")
    assert found == []

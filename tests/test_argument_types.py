"""Words of a command line that do not fit end in one sentence with the value and what is allowed."""

import pytest

from poa_bench.cli import build_parser, main
from poa_bench.errors import InputError
from poa_bench.report.markdown import inline, table
from poa_bench.sweep.plan import make_sweep

EVALUATE = ["evaluate", "c.pth", "--data", "digits", "-o", "r"]


@pytest.mark.parametrize(
    "words",
    [
        [*EVALUATE, "--specs", ","],
        [*EVALUATE, "--tasks", " , "],
        [*EVALUATE, "--seeds", str(2**70)],
        [*EVALUATE, "--seeds", "-1"],
        [*EVALUATE, "--seeds", "9" * 5000],
        [*EVALUATE, "--image-size", "1e3"],
        ["demo", "--seed", str(2**32)],
        ["search", "c.pth", "--task", "knn", "--max-params", "inf"],
        ["search", "c.pth", "--task", "knn", "--max-params", "1e308G"],
        ["search", "c.pth", "--task", "knn", "--max-params", "nan"],
    ],
)
def test_numbers_and_names_that_do_not_fit(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "Traceback" not in said and "argument --" in said


def test_names_may_have_spaces_between_them():
    assert build_parser().parse_args([*EVALUATE, "--specs", "vit-s, vit-b"]).specs == ["vit-s", "vit-b"]


@pytest.mark.parametrize("seeds", [[2**32], [-1], [], [0.5], ["x"]])
def test_seeds_of_a_sweep(seeds):
    with pytest.raises(InputError, match="seeds"):
        make_sweep({"name": "s", "checkpoints": [], "results": "r", "tasks": [{"task": "knn"}], "seeds": seeds})


def test_names_in_tables_stay_in_their_cell():
    import pandas

    hostile = "a|b\n| c | <script>alert(1)</script> `x` |"
    shown = table(pandas.DataFrame({hostile: [hostile, 1.5], "n": [2, None]}))
    assert len(shown.splitlines()) == 4 and "<script" not in shown
    assert all(line.replace("\\|", "").count("|") == 3 for line in shown.splitlines())
    assert inline("knn-k20-T0.07/1 ± 0.5") == "knn-k20-T0.07/1 ± 0.5"

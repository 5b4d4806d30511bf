"""Words of the command line become numbers, or a sentence."""

from argparse import ArgumentTypeError

import pytest

from poa_bench import argument_types
from poa_bench.cli import main


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("amount", "30M", 30e6),
        ("amount", "4.5g", 4.5e9),
        ("amount", "1200", 1200),
        ("amount", "2B", 2e9),
        ("positive_numbers", "1,32", [1, 32]),
        ("not_negative_numbers", "0,7", [0, 7]),
        ("share", "0.3", 0.3),
        ("specs", "all", "all"),
        ("specs", "vit-w96-d2,intact", ["vit-w96-d2", "intact"]),
    ],
)
def test_what_fits(kind, text, expected):
    assert getattr(argument_types, kind)(text) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [("amount", "lots"), ("amount", "-3"), ("amount", ""), ("amount", "nan"), ("positive", "0"), ("positive", "1.5")]
    + [("not_negative", "-1"), ("positive_numbers", "1,a"), ("share", "0"), ("share", "1.1"), ("share", "nan")],
)
def test_what_does_not_fit_is_named(kind, text):
    with pytest.raises(ArgumentTypeError, match="write a"):
        getattr(argument_types, kind)(text)


@pytest.mark.parametrize(
    "line",
    [
        "profile poa_vit-digits.py --batches 0",
        "profile poa_vit-digits.py --image-size -3",
        "sizes vit --image-size 0",
        "plan sweep_digits --jobs 0",
        "run sweep_digits --retries -1",
        "search CHECKPOINT --budget -1",
        "pick results --task knn --max-params lots",
        "evaluate CHECKPOINT --data digits -o results --seeds x",
        "predict-cost poa_vit-digits.py --utilisation 30",
    ],
)
def test_commands_say_which_argument_it_is(line, capsys):
    with pytest.raises(SystemExit) as status:
        main(line.split())
    assert status.value.code == 2
    option, value = line.split()[-2:]
    assert f"argument {option}: '{value}' " in capsys.readouterr().err

"""The comparison of Table 4: what is trained on what, what is measured, and a table that can be checked by hand."""

import re
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from poa_bench import seed_table, trainings
from poa_bench.cli import main
from poa_bench.elastic import SubnetSpec
from poa_bench.errors import InputError
from poa_bench.launch import read_config
from poa_bench.report.frame import report_data
from poa_bench.report.seed_table import cost_table, published_table, score_table
from poa_bench.runs.results import results_frame
from tests.report.made import made_result

ROLES = {"S": "vit-w48-d4", "L": "vit-w96-d4"}


def made(series: str, spec: str, seed: int, score: float, branch: str = "teacher", **facts: float):
    sha = f"{sum(map(ord, series + spec)) + seed:064x}"
    return made_result(
        "knn",
        spec,
        metrics={"top1": score},
        units={"top1": "%"},
        sha=sha,
        checkpoint=f"work_dirs/{sha[-6:]}.pth",
        pretraining_seed=seed,
        config={"branch": branch},
        facts={"series": series, **facts},
    )


def test_table_of_a_hand_made_case():
    """Two seeds; SEED's teacher is the large one alone, and counts once for both of its sizes."""
    results = []
    for seed, shift in enumerate((-1.0, 1.0)):
        small, large = ROLES["S"], ROLES["L"]
        results += [
            made("alone", small, seed, 70.0 + shift, pretraining_flop=1e15),
            made("alone", large, seed, 80.0 + shift, pretraining_flop=4e15),
            made("SEED", small, seed, 73.0 + shift, "student", pretraining_flop=0.5e15, teacher_flop=4e15),
            made("SEED", large, seed, 79.0 + shift, "student", pretraining_flop=0.5e15, teacher_flop=4e15),
            made("POA", small, seed, 75.0 + shift, pretraining_flop=6e15),
        ]
    data = report_data(results_frame(results))
    table = score_table(data, ROLES)
    assert table[["role", "method"]].to_numpy().tolist() == [
        ["S", "alone"],
        ["S", "SEED"],
        ["S", "POA"],
        ["L", "alone"],
        ["L", "SEED"],
    ]
    (column,) = data.primaries
    gains = table[table.role == "S"].set_index("method")[f"{column}, against alone"]
    assert gains["SEED"].startswith("+3.00 ±") and gains["POA"].startswith("+5.00 ±") and gains["alone"] == "–"
    assert table[column].str.startswith(("70.00", "73.00", "75.00", "80.00", "79.00")).all()
    costs = cost_table(data, ROLES).set_index("method")
    assert costs["pre-trainings"].to_dict() == {"alone": 2, "SEED": 2, "POA": 1}
    assert costs.operations.to_dict() == {"alone": "5 PFLOP", "SEED": "5 PFLOP", "POA": "6 PFLOP"}


def test_published_table_is_the_papers():
    table = published_table().set_index("method")
    assert table.loc["POA", ["knn ViT-S/16", "linear ViT-B/16"]].tolist() == ["76.8", "81.7"]
    assert table.loc["DINOv2, from scratch", "knn ViT-S/16"] == "72.2"


@pytest.mark.parametrize("scale", seed_table.SCALES)
def test_every_training_is_a_config_that_takes_its_options(scale):
    """Read by the real parser, with a teacher's file; a network alone has one size, and equally many steps."""
    table = seed_table.SeedTable(scale, seeds=(3,))
    found = {}
    for training in seed_table.trainings(table.settings):
        command = table._train_command(training, 3, Path("teacher.pth") if training.teacher else None)
        options = command[command.index("--cfg-options") + 1 :]
        config = read_config(Namespace(config=command[2], work_dir="w", launcher="none", cfg_options=options))
        found[training.name] = config
        space, alone = config.model.backbone.space, len(training.roles) == 1
        assert (len(space.widths) * len(space.depths) == 1) == alone
        if alone:
            spec = SubnetSpec.parse(table.settings.roles[training.roles[0]])
            assert [spec.width, *spec.depths] == [*space.widths, *space.depths]
        assert config.randomness.seed == 3
        if training.teacher:
            assert config.model.teacher.checkpoint == "teacher.pth"
    assert set(found) == {"alone-L", "alone-B", "alone-S", "poa", "distilled", "seed-B", "seed-S"}
    if scale != "paper":  # there the distillation of a frozen network is shorter, as its config says
        assert len({config.train_cfg.max_epochs for config in found.values()}) == 1


def test_printed_commands_are_what_a_shell_runs(capsys, tmp_path):
    out = tmp_path / "with space"
    assert main(["reproduce", "seed-table", "--print", "--seeds", "0", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14 and not re.search("LAST_CHECKPOINT", "".join(lines))
    (out / "alone-L-seed0").mkdir(parents=True)
    (out / "alone-L-seed0" / "last_checkpoint").write_text("/some where/iter_2.pth")
    line = next(line for line in lines if "distilled-seed0" in line)
    shown = subprocess.run(f"printf '%s\\n' {line}", shell=True, capture_output=True, text=True, check=True).stdout
    assert "model.teacher.checkpoint=/some where/iter_2.pth" in shown.splitlines()


def test_a_training_that_fails_shows_the_end_of_its_log(tmp_path):
    command = [sys.executable, "-c", "print('first'); raise SystemExit('the reason')"]
    with pytest.raises(InputError, match="(?s)status 1.*the reason"):
        trainings.run_training(command, tmp_path / "w", tmp_path / "log")
    assert trainings.finished_checkpoint(tmp_path / "w") is None


def test_an_unknown_scale_is_refused():
    with pytest.raises(InputError, match="use one of tiny, small, paper"):
        seed_table.SeedTable("huge")


@pytest.mark.slow
def test_the_whole_comparison_in_little(tmp_path, monkeypatch):
    """Every training and measurement as real processes; started again, nothing is repeated."""
    little = ("train_dataloader.dataset.indices=64", "train_dataloader.batch_size=16", "train_cfg.max_iters=4")
    little += ("param_scheduler.0.end=0.25", "param_scheduler.1.begin=0.25", "default_hooks.checkpoint.interval=4")
    scale = seed_table.SCALES["tiny"]
    options = (*little, *(one for one in scale.options if "epochs" not in one and "param_scheduler" not in one))
    monkeypatch.setitem(seed_table.SCALES, "tiny", replace(scale, options=options, seeds=(0, 1)))
    path = seed_table.SeedTable("tiny", str(tmp_path), jobs=2).run()
    text = path.read_text()
    assert all(f"| {method}" in text for method in ("alone", "SEED", "POA", "elastic distillation"))
    assert "core hours" in text and "76.8" in text
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.pth")}
    assert seed_table.SeedTable("tiny", str(tmp_path), jobs=2).run() == path
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.pth")}

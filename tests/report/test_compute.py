"""What a report says of the cost of pre-training: sums of a hand-made case, units, and what is not known."""

from poa_bench.elastic.training_checkpoint import compute_facts
from poa_bench.report.compute import compute_sentences, compute_table
from poa_bench.report.frame import report_data
from poa_bench.runs.results import results_frame
from tests.report.made import made_result


def test_a_teachers_teacher_counts():
    said = compute_facts(
        {
            "images": 100,
            "flop": 5.0,
            "gpu_hours": 2.0,
            "teacher": {"images": 7, "flop": 3.0, "gpu_hours": 1.0, "teacher": {"flop": 1.5, "core_hours": 4.0}},
        }
    )
    assert said == {
        "pretraining_images": 100,
        "pretraining_flop": 5.0,
        "pretraining_gpu_hours": 2.0,
        "teacher_flop": 4.5,
        "teacher_gpu_hours": 1.0,
        "teacher_core_hours": 4.0,
    }
    assert compute_facts({}) == {}


def of_series(name: str, sha: str, **facts: float) -> list:
    """Two sizes by two tasks, all of one checkpoint."""
    facts = {"series": name, **facts}
    made = [("vit-w48-d4", "knn"), ("vit-w96-d4", "knn"), ("vit-w48-d4", "linear")]
    settings = {"sha": sha, "checkpoint": f"work_dirs/{sha[:4]}.pth", "pretraining_seed": ord(sha[0]), "facts": facts}
    return [made_result(task, spec, **settings) for spec, task in made]


def test_a_network_counts_once_and_pretrainings_are_averaged():
    results = [
        *of_series("POA", "a" * 64, pretraining_images=1000, pretraining_flop=2e12, pretraining_core_hours=0.5),
        *of_series("POA", "b" * 64, pretraining_images=1000, pretraining_flop=2e12, pretraining_core_hours=1.5),
        *of_series("small", "c" * 64, pretraining_flop=3e15, pretraining_gpu_hours=2.0, teacher_flop=4e18),
        *of_series("old", "d" * 64),
        made_result("knn", "vit-w48-d4", "random"),
    ]
    data = report_data(results_frame(results))
    table = compute_table(data)
    assert sorted(table.index) == ["POA", "small"]
    assert table.loc["POA", ["pretrainings", "pretraining_core_hours"]].tolist() == [2, 1.0]
    assert sorted(compute_sentences(data)) == [
        "Pre-training of POA cost on average 2 TFLOP and 1 core hours for 1,000 pictures.",
        "Pre-training of small cost 3 PFLOP and 2 GPU hours, its teacher before that 4 EFLOP.",
    ]


def test_results_that_say_nothing_are_not_mentioned():
    assert compute_sentences(report_data(results_frame(of_series("old", "d" * 64)))) == []

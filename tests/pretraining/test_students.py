"""The rules by which supernets learn: who is trained, on which share, of which size; a step by each of them."""

import pytest
import torch

from poa_bench.elastic import SearchSpace
from poa_bench.errors import InputError
from poa_bench.pretraining.objectives.poa import LossWeights, loss_table
from poa_bench.pretraining.students import RULES, Students
from tests.pretraining.tiny import SPACE, random_crops, tiny_poa

SMALL, LARGE = (SearchSpace.from_dict(SPACE).parse(text) for text in ("vit-w32-d3", "vit-w48-d6"))


def test_shares_add_up_to_one():
    assert Students(("intact", "elastic"), 0.8).shares == pytest.approx({"intact": 0.8, "elastic": 0.2})
    assert Students(("elastic",), 0.8).shares == {"elastic": 1.0} and Students(("intact",), 0.8).shares == {
        "intact": 1.0
    }
    sandwich = Students(RULES["sandwich"], 0.4).shares
    assert sandwich == pytest.approx({"intact": 0.4, "smallest": 0.2, "elastic": 0.2, "elastic_2": 0.2})


def test_sizes_of_a_sandwich_are_the_largest_the_smallest_and_those_drawn():
    space = SearchSpace.from_dict(SPACE)
    found = Students.by_rule("sandwich", 0.4).sizes(space, (LARGE, SMALL))
    assert found == {"intact": None, "smallest": space.smallest, "elastic": LARGE, "elastic_2": SMALL}
    with pytest.raises(InputError, match="use one of pair, intact, single-path, sandwich"):
        Students.by_rule("poa", 0.4)


def test_in_a_sandwich_only_the_intact_student_learns_from_the_teacher():
    table = loss_table(LossWeights(lambda_intact=0.7), "sandwich", local_views=2)
    assert {term.student for term in table if term.teacher == "teacher"} == {"intact"}
    others = {term.student: term.weight for term in table if term.teacher == "intact" and term.rows == "global"}
    assert others == pytest.approx({"smallest": 0.1, "elastic": 0.1, "elastic_2": 0.1})
    assert all(term.pairing == "same_view" for term in table if term.student != "intact")


def test_step_by_the_sandwich_rule_is_the_mean_of_steps_with_one_of_its_students():
    """What one of three students adds to the gradient does not depend on the others."""
    crops = random_crops()
    gradients = []
    for variant, weights, drawn in (
        ("sandwich", {}, (LARGE, SMALL)),
        *(("poa", {"elastic_cross_view": 0.0, "patch": 0.0}, (size,)) for size in ("smallest", LARGE, SMALL)),
    ):
        torch.manual_seed(0)
        model = tiny_poa(variant=variant, loss_weights={"koleo": 0.0, "patch": 0.0, "lambda_intact": 0.4, **weights})
        drawn = tuple(model.supernet.space.smallest if size == "smallest" else size for size in drawn)
        model.decide(sizes=drawn)
        model.eval().loss(crops, model.settings)["loss"].backward()
        gradients.append([one.grad for one in model.student.parameters() if one.grad is not None])
    sandwich, *pairs = gradients
    for found, *expected in zip(sandwich, *pairs, strict=True):
        torch.testing.assert_close(found, sum(expected) / 3, rtol=1e-4, atol=1e-6)

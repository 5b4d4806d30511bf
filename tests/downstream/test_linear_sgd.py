"""The SGD linear probe: one head against a loop by hand and scikit-learn, the choice, and runs from end to end."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss

from poa_bench.downstream.blocks import BlockFeatures, block_features
from poa_bench.downstream.features import Place
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.linear_sgd import HeadScores, LinearHeads, head_scores, train_heads
from poa_bench.errors import InputError
from poa_bench.runs.results import read_results
from poa_bench.sweep.light import evaluate_checkpoint, plan_light
from poa_bench.tasks import parse_protocol, protocol_sentence
from poa_bench.tasks.linear_sgd import Head, LinearSgdProtocol
from tests.downstream.networks import SPACES, tiny_supernet, write_checkpoint
from tests.downstream.test_knn import clusters
from tests.tasks.test_light import DATA

SHORT = LinearSgdProtocol(iterations=12, batch=32)


def made_batches(count: int, batch: int, width: int = 6, classes: int = 3, seed: int = 0):
    """Batches of random features as `LinearHeads.step` takes them."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        parts = [torch.randn(batch, width, generator=generator) for _ in range(5)]
        yield BlockFeatures(parts[:4], parts[4]), torch.randint(classes, (batch,), generator=generator)


def test_the_official_heads():
    protocol = LinearSgdProtocol()
    assert protocol.name == "linear-sgd-i12500-b2048-valsplit/2"
    rates = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
    assert len(protocol.heads) == 52 == len(set(protocol.heads))
    assert set(protocol.heads) == {Head(n, pooled, rate) for n in (1, 4) for pooled in (False, True) for rate in rates}
    heads = LinearHeads(next(made_batches(1, 2))[0], 3, protocol, seed=0)
    assert [group["lr"] for group in heads.optimizer.param_groups[:13]] == pytest.approx([8 * rate for rate in rates])
    assert {(g["momentum"], g["weight_decay"], g["nesterov"]) for g in heads.optimizer.param_groups} == {
        (0.9, 0, False)
    }
    weights = torch.cat([head.weight.detach().flatten() for head in heads.heads])
    assert weights.std() == pytest.approx(0.01, rel=0.05) and all((head.bias == 0).all() for head in heads.heads)
    official = parse_protocol("linear-sgd-i12500-b2048-testsplit/1", "linear")
    assert official == LinearSgdProtocol(chosen_on="test") and official.name.endswith("-testsplit/1")
    assert "the test split itself" in protocol_sentence("linear", official.name)
    assert (
        "validation split" in protocol_sentence("linear", protocol.name) != protocol_sentence("linear", official.name)
    )
    with pytest.raises(InputError, match="write it like linear-logreg.*linear-sgd-i12500-b2048-valsplit/2"):
        parse_protocol("linear-sgd-i12500-b2048-bestsplit/1", "linear")


@pytest.mark.parametrize("position", [0, 12, 25, 30, 51])
def test_a_head_is_trained_as_if_it_were_alone(position):
    """SGD with momentum 0.9 and a cosine to 0, written out: the gradient of cross-entropy is (softmax - one-hot) x."""
    first, *_ = made_batches(1, 32)
    heads = LinearHeads(first[0], 3, SHORT, seed=1)
    blocks, pooled, rate = SHORT.heads[position]
    weight = heads.heads[position].weight.detach().double().clone()
    bias = heads.heads[position].bias.detach().double().clone()
    speed_weight, speed_bias = torch.zeros_like(weight), torch.zeros_like(bias)
    for step, (features, labels) in enumerate(made_batches(12, 32)):
        heads.step(features, labels)
        seen = torch.cat([*features.classes[4 - blocks :], *([features.patches] if pooled else [])], 1).double()
        error = (seen @ weight.T + bias).softmax(1)
        error[torch.arange(32), labels] -= 1
        speed_weight = 0.9 * speed_weight + error.T @ seen / 32
        speed_bias = 0.9 * speed_bias + error.mean(0)
        now = rate * 32 / 256 * (1 + math.cos(math.pi * step / 12)) / 2
        weight, bias = weight - now * speed_weight, bias - now * speed_bias
    assert torch.allclose(heads.heads[position].weight.double(), weight, atol=1e-6)
    assert torch.allclose(heads.heads[position].bias.double(), bias, atol=1e-6)
    assert heads.optimizer.param_groups[position]["lr"] == pytest.approx(0, abs=1e-12)


def test_long_training_finds_scikit_learns_solution():
    """On fixed features the head with a high rate ends at the unpenalised logistic regression."""
    features, labels = clusters(200, classes=3, width=4)
    features = (features / features.std()).float()
    protocol = LinearSgdProtocol(iterations=100, batch=200 * 256)  # rates as if the batch were that large
    sample = BlockFeatures([features] * 4, features)
    heads = LinearHeads(sample, 3, protocol, seed=0)
    for _ in range(100):
        heads.step(sample, labels)
    oracle = LogisticRegression(C=1e6, tol=1e-8, max_iter=10_000).fit(features.numpy(), labels.numpy())
    position = protocol.heads.index(Head(1, False, 5e-3))
    found = heads.logits(sample)[position].softmax(1).detach().double()
    assert torch.allclose(found, torch.from_numpy(oracle.predict_proba(features.numpy())).double(), atol=0.01)


def test_the_best_head_on_the_split_that_the_protocol_says():
    val, test, losses = torch.zeros(52, 3), torch.zeros(52, 3), torch.ones(52)
    val[7, 0], val[8, 0] = 60.0, 61.0  # the accuracy on val does not choose
    losses[7] = losses[9] = 0.5
    for head, top1, top5 in ((7, 50.0, 90.0), (9, 55.0, 91.0), (11, 70.0, 95.0)):
        test[head] = torch.tensor([top1, top5, top1 - 10])
    labels = torch.tensor([0, 0, 0, 1])
    ranks = torch.full((52, 4), 5, dtype=torch.uint8)
    ranks[7], ranks[11] = torch.tensor([0, 5, 0, 5]), torch.tensor([0, 0, 3, 0])
    val, test = HeadScores(val, losses, ranks, labels), HeadScores(test, torch.ones(52), ranks, labels)
    metrics, outcomes, head = LinearSgdProtocol().choose({"val": val, "test": test}, "val held out by seed 3")
    assert outcomes.keys() == metrics.keys()
    assert [outcomes[name].score for name in ("top1", "best_on_test_top1")] == pytest.approx([50, 75])
    assert outcomes["val_balanced_top1"].score == pytest.approx(100 * (2 / 3 + 0) / 2)
    assert (outcomes["val_top1"].split, outcomes["top1"].split) == ("val held out by seed 3", "")
    assert metrics == {
        "top1": 50.0, "top5": 90.0, "balanced_top1": 40.0, "val_top1": 60.0, "val_balanced_top1": 0.0,
        "best_on_test_top1": 70.0,
    }  # fmt: skip
    assert head == Head(1, False, 2e-3) and str(head) == "blocks 1, no patches, rate 0.002"
    metrics, outcomes, head = LinearSgdProtocol(chosen_on="test").choose({"test": test})
    assert outcomes["top1"].score == outcomes["best_on_test_top1"].score == 75
    assert metrics == {"top1": 70.0, "top5": 95.0, "balanced_top1": 60.0, "best_on_test_top1": 70.0}
    assert head == Head(1, False, 5e-2)


def test_accuracy_is_counted_over_all_parts_and_a_diverged_head_does_no_harm():
    features, labels = next(made_batches(1, 20, classes=7))
    heads = LinearHeads(features, 7, SHORT, seed=0)
    torch.nn.init.constant_(heads.heads[0].weight, torch.nan)
    torch.nn.init.normal_(heads.heads[1].weight)
    extractor = lambda images: BlockFeatures([images.flatten(1)] * 4, images.flatten(1))  # noqa: E731
    data = EvaluationData("made", train={}, test={}, image_size=1, mean=(0.0,) * 3, std=(1.0,) * 3)
    images = torch.randint(0, 255, (20, 3, 1, 1), dtype=torch.uint8)
    wide = LinearHeads(extractor(images.float()), 7, SHORT, seed=0)
    parts = [(images[:8], labels[:8]), (images[8:], labels[8:])]
    found = head_scores({"a": extractor}, {"a": wide}, parts, data, Place(), {})["a"]
    order = wide.logits(extractor(images.float()))[5].argsort(dim=1, descending=True)
    hits = order == labels[:, None]
    expected = [100 * hits[:, 0].double().mean(), 100 * hits[:, :5].any(1).double().mean()]
    assert torch.allclose(found.accuracies[5, :2], torch.stack(expected))
    probabilities = wide.logits(extractor(images.float()))[5].detach().double().softmax(1)
    assert found.log_loss[5].item() == pytest.approx(log_loss(labels, probabilities, labels=range(7)))
    assert found.accuracies[5, 2].item() == pytest.approx(100 * balanced_accuracy_score(labels, order[:, 0]))
    ranks, losses = heads.judge(features, labels)
    assert losses[0] == torch.inf and losses[1:].isfinite().all()  # a diverged head is never chosen
    assert (ranks[1] == 0).any() and heads.finite
    assert ranks.shape == (52, len(labels))
    for head in heads.heads:
        torch.nn.init.constant_(head.weight, torch.nan)
    assert not heads.finite


def test_sizes_trained_together_are_those_trained_alone():
    net = tiny_supernet("vit")
    extractors = {str(spec): block_features(net.extract(spec).eval()) for spec in net.space}
    data = EvaluationData("made", train={}, test={}).resolved(None, 32)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (4, 8, 3, 32, 32), generator=generator, dtype=torch.uint8)
    batches = [[(part, torch.tensor([0, 1] * 4)) for part in images[i : i + 2]] for i in (0, 2)]
    protocol = LinearSgdProtocol(iterations=2, batch=16)
    together = train_heads(extractors, batches, 2, protocol, data, Place(), seed=0, failures={})
    name = str(net.space.smallest)
    failures = {}
    beside = {"broken": lambda images: 1 / 0, name: extractors[name]}
    alone = train_heads(beside, batches, 2, protocol, data, Place(), 0, failures)
    assert [type(error) for error in failures.values()] == [ZeroDivisionError] and list(alone) == [name]
    for first, second in zip(together[name].heads, alone[name].heads, strict=True):
        assert torch.equal(first.weight, second.weight)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "few_digits.py"
    path.write_text(DATA)
    return str(path)


@pytest.mark.parametrize("family", list(SPACES))
def test_every_family_from_a_checkpoint_to_results(family, data, tmp_path):
    checkpoint = str(write_checkpoint(tiny_supernet(family), tmp_path / "epoch_1.pth"))
    protocols = ["linear-sgd-i3-b16-valsplit/2", "linear-sgd-i3-b16-testsplit/1"]
    arguments = dict(tasks=["linear"], specs=["smallest", "intact"], protocols=protocols)
    found = evaluate_checkpoint(checkpoint, data, tmp_path / "results", **arguments)
    assert len(found) == 4 and len(read_results(tmp_path / "results")) == 2 * 6 + 2 * 4
    for result in found:
        chosen_on = result.protocol.split("-")[-1].partition("split")[0]
        assert result.facts["chosen_on"] == chosen_on and result.facts["head"].startswith("blocks ")
        assert ("val_top1" in result.metrics) == (chosen_on == "val") and result.metrics["top1"] <= result.metrics[
            "top5"
        ]
        assert (result.metrics["top1"] == result.metrics["best_on_test_top1"]) or chosen_on == "val"
        assert result.facts["train_images"] == 250 and result.facts["test_images"] == 100
    (again,) = evaluate_checkpoint(
        checkpoint, data, tmp_path / "again", **{**arguments, "specs": ["intact"], "protocols": protocols[:1]}
    )
    assert again.metrics == next(result.metrics for result in found if result.run_id == again.run_id)


def test_validation_is_held_out_of_what_is_trained_on(data, tmp_path, monkeypatch):
    path = tmp_path / "no_val.py"
    path.write_text("".join(line for line in DATA.splitlines(keepends=True) if not line.strip().startswith("val=")))
    pictures = EvaluationData.load(path).resolved(None)
    seen = []
    real = type(pictures.splits["train"]).read
    monkeypatch.setattr(
        type(pictures.splits["train"]), "read", lambda self, at: seen.append((self.split, at)) or real(self, at)
    )
    net = tiny_supernet("vit")
    networks = {"vit": net.extract(net.space.smallest).eval()}
    ((_, measured),) = LinearSgdProtocol(8, 64).measure_sizes(networks, pictures, Place(), seed=5)
    held = pictures.splits["train"].part([], "val")
    assert held.split == "val" and measured.facts["val_images"] == pytest.approx(25, abs=3)
    trained = {at for split, at in seen if split == "train"}
    assert len(trained) == measured.facts["train_images"] == 250 - measured.facts["val_images"]
    ((_, other),) = LinearSgdProtocol(1, 8, "test").measure_sizes(networks, pictures, Place(), seed=5)
    assert other.facts["train_images"] == 250 and "val_images" not in other.facts


def test_what_cannot_be_probed_is_said(data, tmp_path):
    checkpoint = str(write_checkpoint(tiny_supernet("vit"), tmp_path / "epoch_1.pth"))
    arguments = dict(tasks=["linear"], protocols=["linear-sgd-i2-b8-testsplit/1"])
    with pytest.raises(InputError, match="raw pixels have no network, which linear-sgd"):
        evaluate_checkpoint(checkpoint, data, tmp_path / "results", initialisation="pixels", **arguments)
    broken = tiny_supernet("vit")
    torch.nn.init.constant_(broken.network.norm.weight, 3e38)  # a file with NaN would be refused
    checkpoint = str(write_checkpoint(broken, tmp_path / "epoch_2.pth"))
    with pytest.raises(InputError, match="none of the heads is finite after training"):
        evaluate_checkpoint(checkpoint, data, tmp_path / "results", specs=["smallest"], **arguments)
    assert len(plan_light(checkpoint, data, ["linear"], ["smallest"], protocols=arguments["protocols"])) == 1

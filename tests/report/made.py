"""Result sets made up for the tests: numbers by formula, so that tables can be checked by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np

from poa_bench.runs.outcomes import MeanOutcome
from poa_bench.runs.results import Result

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
PROTOCOLS = {
    "knn": ("knn-k20-T0.07/1", "digits", {"top1": 60.0}, "%"),
    "linear": ("linear-logreg-grid13-valsplit/2", "digits", {"top1": 70.0}, "%"),
    "detection": ("mask-rcnn-sfp-digits/3", "digits-scenes", {"bbox_mAP": 20.0, "segm_mAP": 15.0}, "%"),
    "classification": ("finetune-30e/1", "digits", {"top1": 75.0}, "%"),
    "semi-supervised": ("finetune-10percent/1", "digits", {"top1": 50.0}, "%"),
    "transfer": ("finetune-transfer/1", "letters", {"top1": 45.0}, "%"),
    "unsupervised": ("kmeans/1", "digits", {"accuracy": 35.0}, "%"),
    "profile": ("profile-b1/1", "digits", {}, "ms"),
    "segmentation": ("upernet-digits/3", "digits-scenes", {"mIoU": 40.0}, "%"),
}


def made_result(task="knn", spec="vit-w48-d4", initialisation="pretrained", seed=0, shift=0.0, sha="a" * 64, **changes):
    """One valid `Result`: score = base + width / 16 + depth + seed / 10 + shift; 10 lower at random, 15 on pixels."""
    pretrained = initialisation == "pretrained"
    protocol, dataset, bases, unit = PROTOCOLS[task]
    width, depth = (int(part[1:].split("-")[0]) for part in spec.split("-")[1:3]) if spec else (0, 0)
    lower = {"pretrained": 0.0, "random": 10.0, "pixels": 15.0}[initialisation]
    value = width / 16 + depth + seed / 10 + shift - lower
    fields = dict(
        spec=spec,
        family=spec.split("-")[0] if spec else None,
        initialisation=initialisation,
        checkpoint="work_dirs/poa/epoch_10.pth" if pretrained else None,
        checkpoint_sha256=sha if pretrained else None,
        task=task,
        protocol=protocol,
        dataset=dataset,
        split="test",
        seed=seed,
        metrics={name: base + value for name, base in bases.items()},
        units=dict.fromkeys(bases, unit),
        parameters=width * width * depth * 12 if spec else None,
        macs=width * width * depth * 12 * 64 if spec else None,
        image_size=32,
        config_hash="c" * 64,
        git_sha="0123456789abcdef",
        git_dirty=False,
        versions={"python": "3.11", "torch": "2.11.0"},
        seconds=1.5,
        peak_memory_bytes=10**8,
        tensors_loaded=50,
        tensors_total=50,
        facts={},
        created=START,
    )
    fields |= {name: value for name, value in changes.items() if pretrained or name != "checkpoint"}
    return Result(**fields)


def made_profile(spec, device="cpu", **changes):
    """Latency that grows with width and depth."""
    width, depth = (int(part[1:].split("-")[0]) for part in spec.split("-")[1:3])
    metrics = {"latency_p50_ms_batch1": width * depth / 100, "latency_p95_ms_batch1": width * depth / 80}
    facts = {"device": device, "dtype": "float32", "threads": 1}
    return made_result("profile", spec, metrics=metrics, units=dict.fromkeys(metrics, "ms"), facts=facts, **changes)


def demo_results():
    """12 sizes with k-NN and linear (3 seeds, controls), 3 of them with dense tasks, one profile each."""
    specs = [f"vit-w{width}-d{depth}" for width in (48, 64, 80, 96) for depth in (4, 6, 8)]
    results = []
    for task in ("knn", "linear"):
        for seed in range(3):
            results += [made_result(task, spec, seed=seed) for spec in specs]
            results += [made_result(task, spec, "random", seed=seed) for spec in specs]
        results.append(made_result(task, None, "pixels"))
    for task in ("detection", "segmentation"):
        for spec in ("vit-w48-d4", "vit-w64-d6", "vit-w96-d8"):
            results += [made_result(task, spec), made_result(task, spec, "random")]
    results += [made_profile(spec) for spec in specs]
    return results


def paper_scale_results():
    """All 647 sizes of the three families on 8 tasks, each family from its own checkpoint, with one control."""
    spaces = {
        "vit": [f"vit-w{width}-d{depth}" for width in range(384, 1025, 64) for depth in range(12, 25)],
        "swin": [f"swin-w{width}-d{depth}" for width in (96, 112, 128) for depth in range(6, 19)],
        "resnet": [f"resnet-w{w}-d{a}-{b}" for w in (64, 96, 128) for a in range(4, 9) for b in range(6, 37)],
    }
    results = []
    for place, (family, specs) in enumerate(spaces.items()):
        owner = {"sha": "abc"[place] * 64, "checkpoint": f"work_dirs/{family}.pth"}
        for spec in specs:
            results += [made_result(task, spec, **owner) for task in PROTOCOLS if task != "profile"]
            results += [made_result("knn", spec, "random"), made_profile(spec, **owner)]
    return results


def outcome_results(series=1, seeds=1, pictures=500):
    """12 sizes of one or more checkpoints with outcomes: of equally many pictures, better ones the larger, to a point.

    The four largest are truly equal; every size is right on much the same pictures.
    """
    random, results = np.random.default_rng(0), []
    hard, hard_to_choose = random.normal(size=(2, pictures))
    for network in range(series):
        for place, (width, depth) in enumerate((width, depth) for width in (32, 48, 64, 80) for depth in (1, 2, 3)):
            skill = 0.3 + 0.12 * min(place, 8) + 0.4 * network
            for seed in range(seeds):
                split = {"top1": (hard, ""), "val_top1": (hard_to_choose, "val")}
                outcomes = {
                    name: MeanOutcome(skill - easy + 0.3 * random.normal(size=pictures) > 0, split=said)
                    for name, (easy, said) in split.items()
                }
                metrics = {name: outcome.score for name, outcome in outcomes.items()}
                about = dict(metrics=metrics, units=dict.fromkeys(metrics, "%"), seed=seed, sha="abc"[network] * 64)
                result = made_result(spec=f"vit-w{width}-d{depth}", checkpoint=f"{'abc'[network]}.pth", **about)
                results.append(result.with_outcomes(outcomes))
    return results


def later(hours: float) -> datetime:
    return START + timedelta(hours=hours)

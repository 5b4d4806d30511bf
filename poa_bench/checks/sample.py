"""Passes a sample of a data set, or all of it, through its own pipeline and evaluator, and says what is wrong."""

from collections import Counter

import numpy as np
from mmengine.config import Config

from poa_bench.checks import detection as check_detection
from poa_bench.checks import labels as check_labels
from poa_bench.checks.dataset import has_mask_head
from poa_bench.checks.pictures import READING, Seen, look
from poa_bench.checks.result import METRIC, PIPELINE, READ, Checked
from poa_bench.checks.truth import Truth, check_truth

SAMPLE = 200  # pictures of a large data set that are looked at


def look_at_pictures(
    row: Checked,
    config: Config,
    split: str,
    firsts: list[int],
    every_picture: bool,
    truth: Truth | None = None,
    packed: bool = True,
) -> None:
    """Pass pictures through the pipeline, a sample or all, and the evaluator where there is one.

    Args:
        row: where findings go; its data set is built.
        config: the whole config.
        split: 'train', 'val' or 'test'.
        firsts: pictures that belong to the sample.
        every_picture: all pictures are loaded; through the whole pipeline pass a sample of train, and all others.
        truth: the evaluator's dry run.
        packed: whether the pipeline must end with what a model takes.
    """
    infos = getattr(row.dataset, "data_list", None)
    if not infos:  # no data set of mmengine's kind
        return
    sample = sorted({*firsts, *np.linspace(0, len(infos) - 1, min(len(infos), SAMPLE)).astype(int).tolist()})
    everything = range(len(infos))
    whole = everything if every_picture and truth is not None else sample
    judge = _Judge(row, config, split, packed)
    kept = {}
    for seen in look(row.dataset, everything if every_picture else sample, whole, truth and truth.process):
        row.read += 1
        judge.add(infos[seen.position], seen)
        if seen.finished is not None:
            kept[seen.position] = seen.finished
    judge.finish(len(whole))
    row.close()
    if truth is not None and kept and METRIC not in row.fine:
        check_truth(row, truth, [infos[position] for position in kept], list(kept.values()))


class _Judge:
    """Turns what happened to pictures into findings; those that concern many pictures are said once."""

    def __init__(self, row: Checked, config: Config, split: str, packed: bool):
        self.row, self.config, self.split, self.packed = row, config, split, packed
        self.failed: dict[str, list[tuple[str, str]]] = {}  # step -> pictures and reasons
        self.left_out: Counter[str] = Counter()  # step -> pictures

    def add(self, info: dict, seen: Seen) -> None:
        name = info.get("img_path") or info.get("name", f"picture {seen.position}")
        if seen.failed is not None:
            if seen.failed.startswith("FileNotFoundError"):
                return  # all of them are named together
            if seen.step == READING or seen.step.startswith("LoadImage"):
                problem = f"cannot be decoded ({seen.failed})"
                self.row.fail_picture(READ, name, problem, "replace the file or leave it out")
            else:
                self.failed.setdefault(seen.step, []).append((info.get("seg_map_path") or name, seen.failed))
            if seen.step != METRIC:
                return
        if seen.left_out:
            self.left_out[seen.step] += 1
        elif seen.size is None:
            self._once(PIPELINE, "its pipeline loads no picture", "let it begin with LoadImageFromFile")
        else:
            self._check_picture(info, name, seen)

    def _check_picture(self, info: dict, name: str, seen: Seen) -> None:
        row = self.row
        if "instances" in info:
            check_detection.check_picture(row, info, seen)
        elif "seg_map_path" in info:
            if seen.map_shape is not None or self.split == "train":
                check_labels.check_map(row, row.dataset, info, seen)
        else:
            label = info.get("label", info.get("gt_label"))
            row.seen.setdefault(label, name)
            row.passed(READ)
        if not self.packed:
            return
        if seen.whole and "img_path" in info and seen.packed_shape is None:
            self._once(PIPELINE, "its pipeline hands nothing to a model", "let it end with PackDetInputs or its like")
        elif seen.whole and self.split == "train":
            self._check_packed(info, seen)

    def _check_packed(self, info: dict, seen: Seen) -> None:
        """What training needs is handed to the model."""
        wanted = {}
        if "instances" in info:
            wanted["boxes"] = "add LoadAnnotations(with_bbox=True)"
            if has_mask_head(self.config):
                wanted["masks"] = "add with_mask=True to LoadAnnotations"
        elif "seg_map_path" in info:
            wanted["label map"] = "add LoadAnnotations"
            if len(seen.map_shape or ()) == 2 and seen.packed_map_shape != seen.packed_shape:
                sizes = f"{seen.packed_map_shape} where pictures are {seen.packed_shape} (height, width)"
                self._once(PIPELINE, f"its pipeline makes label maps of {sizes}", "load annotations before it resizes")
        for name, remedy in wanted.items():
            if name not in seen.packed:
                self._once(PIPELINE, f"its pipeline hands no {name} to the model", remedy)

    def _once(self, check: str, problem: str, remedy: str) -> None:
        if f"{self.row.where}: {problem}; {remedy}" not in self.row.problems:
            self.row.fail(check, problem, remedy)

    def finish(self, count: int) -> None:
        """Say what happened to several pictures, of ``count`` that went through the whole pipeline."""
        row = self.row
        for step, cases in self.failed.items():
            name, why = cases[0]
            if row.problems and step in ("LoadAnnotations", METRIC):  # which say why
                row.fine[METRIC if step == METRIC else PIPELINE] = "no"
                continue
            problem = f"{step} fails on {len(cases)} of {row.read} pictures, e.g. {name} ({why})"
            row.fail(METRIC if step == METRIC else PIPELINE, problem, "correct the config's step or the data")
        for step, pictures in self.left_out.items():
            if pictures == count:
                row.fail(PIPELINE, f"{step} leaves out every picture", "correct the step's options")
            else:
                row.notes.append(f"{step} leaves out {pictures} of {count} pictures")
        row.passed(PIPELINE)

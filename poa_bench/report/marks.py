"""Layers that say how far a point of a chart can be trusted: whiskers for intervals, crosses for disturbed costs."""

from __future__ import annotations

import re
from typing import Any

Spec = dict[str, Any]


def whiskers(rows: list[Spec], known: Spec, x: Spec, y: Spec, colour: Spec, shown: str) -> list[Spec]:
    """95 % intervals of scores, from the fields `low` and `high`; none where no row has one.

    Args:
        rows: of `ChartData`.
        known: the transform that leaves out points without a place.
        x, y, colour: of the points.
        shown: an expression, true for the rows that have whiskers.
    """
    layer = {
        "transform": [known, {"filter": f"isValid(datum.low) && {shown}"}],
        "mark": {"type": "rule", "opacity": 0.3},
        "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": colour},
    }
    return [layer] if _has(rows, "l") else []


def crosses(rows: list[Spec], known: Spec, x: Spec, y: Spec) -> list[Spec]:
    """A red cross where the field `busy` is 1: the cost was measured on a busy machine; none where no row has one."""
    said = {"datum": "disturbed by other work, too high", "type": "nominal", "title": "latency"}
    layer = {
        "transform": [known, {"filter": "datum.busy == 1"}],
        "mark": {"type": "point", "shape": "cross", "size": 160, "angle": 45, "filled": False, "stroke": "#c00"},
        "encoding": {"x": x, "y": y, "tooltip": [{"field": "spec", "title": "size"}, said]},
    }
    return [layer] if _has(rows, "b") else []


def _has(rows: list[Spec], letter: str) -> bool:
    """Whether a row has a field such as `l0`."""
    return any(re.fullmatch(rf"{letter}\d+", name) for row in rows for name in row)

"""A backend of matplotlib that saves what is plotted as JSON: other people's programs show their numbers, unchanged.

MPLBACKEND=module://curve_values PYTHONPATH=tests/clients mim run mmdet analyze_logs plot_curve ... --out curve.json
"""

import json

from matplotlib.backend_bases import FigureCanvasBase, FigureManagerBase


class FigureCanvas(FigureCanvasBase):
    """Knows one file type: `{label: [[x, y], ...]}` of the lines of all axes."""

    filetypes = {"json": "values"}

    def print_json(self, filename, **_):
        lines = [line for axes in self.figure.axes for line in axes.get_lines()]
        values = {line.get_label(): [[float(x), float(y)] for x, y in line.get_xydata()] for line in lines}
        with open(filename, "w", encoding="utf-8") as stream:
            json.dump(values, stream)


FigureManager = FigureManagerBase

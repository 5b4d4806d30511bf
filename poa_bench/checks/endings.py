"""Pictures that mmseg leaves out of a folder without a word: it takes one ending, letter for letter."""

from pathlib import Path
from typing import Any

from poa_bench.checks.result import FILES, SHOWN, Checked
from poa_bench.datasets.labels import quoted
from poa_bench.datasets.selection import BESIDE, described, why_not


def check_endings(row: Checked, dataset: Any) -> None:
    """Name pictures in the folder of a segmentation data set that do not end in its `img_suffix`.

    A picture that has a label map is a problem, any other a note. Data sets that list their pictures have none.

    Args:
        row: where findings go.
        dataset: of mmseg's kind, or any other, of which nothing is said.
    """
    suffix = getattr(dataset, "img_suffix", None)
    folder = (getattr(dataset, "data_prefix", None) or {}).get("img_path")
    if not (suffix and folder and Path(folder).is_dir()) or Path(dataset.ann_file or ".").is_file():
        return
    names = sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())
    unread = [name for name in names if not name.endswith(suffix) and why_not(name) in (None, BESIDE)]
    maps, ending = dataset.data_prefix.get("seg_map_path"), dataset.seg_map_suffix
    labelled = [name for name in unread if maps and Path(maps, name.removesuffix(Path(name).suffix) + ending).is_file()]
    if labelled:
        row.fail(
            FILES,
            f"pictures with label maps do not end in {suffix!r}, and mmseg leaves them out without a word: "
            + quoted(labelled, SHOWN),
            "let all names end alike (case counts), or set img_suffix",
        )
    if others := [name for name in unread if name not in labelled]:
        row.notes.append(f"left out: {described({f'that do not end in {suffix} and have no label map': others})}")

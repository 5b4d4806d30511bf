"""Pictures with depth maps, from lists as the field has them (BTS's of NYU Depth v2 and KITTI)."""

from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset

from poa_bench.datasets.sources import decode
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS


@DATASETS.register_module()
class DepthMaps(BaseDataset):
    """Pictures with a depth for each pixel, as 16-bit PNG files.

    Item ``i`` is ``dict(inputs=(3, H, W) uint8 RGB, depth=(H, W) float32, img_path, depth_path, sample_idx)``.

    Args:
        ann_file: text file with ``PICTURE MAP`` in each line, relative to ``data_root``; further columns are not read,
            and lines whose map is ``None`` are left out.
        data_root: folder of the pictures and maps.
        scale: number of the file for one unit of depth: 1000 for millimetres where depths are to be in metres.
        maximum: depths above it are not known, and 0 never is.
        crop: ``(top, bottom, left, right)``, outside of which nothing is known: ``(45, 471, 41, 601)`` for
            NYU (Eigen's).
        **kwargs: further arguments of mmengine's BaseDataset (``indices``, ...).

    Raises:
        InputError: the list is not there, or a line has less than two columns.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        scale: float = 1000.0,
        maximum: float = 10.0,
        crop: tuple[int, int, int, int] | None = None,
        **kwargs,
    ):
        self.scale, self.maximum, self.crop = scale, maximum, crop
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list; no picture is opened."""
        if not Path(self.ann_file).is_file():
            raise InputError(f"there is no list {self.ann_file}: give one with `PICTURE MAP` in each line")
        rows = []
        for number, line in enumerate(Path(self.ann_file).read_text().splitlines(), 1):
            words = line.split()
            if len(words) == 1:
                raise InputError(f"line {number} of {self.ann_file} is {line!r}; expected `PICTURE MAP`")
            if words and words[1] != "None":
                picture, depth = (str(Path(self.data_root or "") / word.lstrip("/")) for word in words[:2])
                rows.append({"img_path": picture, "depth_path": depth})
        return rows

    def prepare_data(self, idx: int) -> dict:
        """Read picture and map ``idx``.

        Raises:
            InputError: a file is missing, or the map is none of 16 bits or has another size than its picture.
        """
        item = self.get_data_info(idx)
        for path in (item["img_path"], item["depth_path"]):
            if not Path(path).is_file():
                raise InputError(f"there is no file {path}, which {self.ann_file} names: complete the data set")
        item["inputs"] = decode(Path(item["img_path"]).read_bytes(), item["img_path"])
        item["depth"] = torch.from_numpy(self._depths(item["depth_path"]))
        if item["depth"].shape != item["inputs"].shape[1:]:
            sizes = f"{tuple(item['depth'].shape)}, its picture {tuple(item['inputs'].shape[1:])}"
            raise InputError(f"the depth map {item['depth_path']} has (height, width) {sizes}: make them the same size")
        return self.pipeline(item)

    def _depths(self, path: str) -> np.ndarray:
        values = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        if values is None or values.ndim != 2 or values.dtype != np.uint16:
            found = "cannot be decoded" if values is None else f"is {values.dtype} with the shape {values.shape}"
            raise InputError(f"the depth map {path} {found}: it must be a PNG of 16 bits and one channel")
        depths = values.astype(np.float32) / self.scale
        depths[depths > self.maximum] = 0
        if self.crop is not None:
            top, bottom, left, right = self.crop
            inside = np.zeros_like(depths)
            inside[top:bottom, left:right] = depths[top:bottom, left:right]
            return inside
        return depths

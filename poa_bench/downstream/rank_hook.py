"""Quality without labels of chosen sizes while the supernet is still being trained: is it learning?"""

from collections.abc import Sequence
from typing import Any

from poa_bench.downstream.features import Place, extract_features
from poa_bench.downstream.sizes_hook import SizesHook
from poa_bench.downstream.spectrum import first_of, lidar, spectrum_scores
from poa_bench.downstream.view_statistics import view_statistics
from poa_bench.elastic import Supernet
from poa_bench.registry import HOOKS

SEED = 0  # of the choice of pictures, as in a measurement


@HOOKS.register_module()
class RankHook(SizesHook):
    """Log RankMe in percent of the width and alpha-ReQ of sub-networks every n epochs, without any label.

    The numbers are those of the task `rank` on the checkpoint of the same iteration. A collapse is a RankMe that falls.

    Args:
        data, sizes, interval, options: see :class:`~poa_bench.downstream.sizes_hook.SizesHook`; the ``train`` split of
            the data is used.
        images: at most so many pictures.
        lidar_images, lidar_views: for LiDAR, too, from so many crops of so many pictures; none by default, since it
            costs their product of forward passes.
    """

    def __init__(
        self,
        data: str,
        sizes: Sequence[str] | None = None,
        interval: float = 10,
        images: int = 25_600,
        lidar_images: int = 0,
        lidar_views: int = 10,
        options: dict[str, Any] | None = None,
    ):
        super().__init__(data, sizes, interval, options)
        self.images, self.lidar_images, self.lidar_views = images, lidar_images, lidar_views

    def scalars(self, net: Supernet) -> dict[str, float]:
        """`rankme_share/<size>`, `alpha_req/<size>` and `lidar_share/<size>`."""
        device = net.mask_token.device
        extractors = {size: net.extract(spec).eval() for size, spec in self._specs(net).items()}
        train = self._splits(net)["train"]
        chosen = train.part(first_of(len(train), self.images, SEED).tolist(), "train")
        logged = {}
        for size, found in extract_features(extractors, chosen, device).items():
            scores = spectrum_scores(found.features.to(device))
            logged |= {f"{name}/{size}": scores[name] for name in ("rankme_share", "alpha_req") if name in scores}
        if self.lidar_images:
            counts, failures = (self.lidar_images, self.lidar_views, SEED), {}
            views = view_statistics(extractors, train.data, *counts, Place(device), failures)
            for error in failures.values():
                raise error
            logged |= {f"lidar_share/{size}": 100 * lidar(*found) / len(found[1]) for size, found in views.items()}
        return logged

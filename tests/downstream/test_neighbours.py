"""The gallery of k-NN: its neighbours are scikit-learn's, and each cell shows the pictures that it says."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from poa_bench.downstream.drawing import FRAME, RIGHT, TILE, WRONG
from poa_bench.downstream.features import Features, Place
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.knn import knn_ranks
from poa_bench.downstream.neighbours import SHOWN
from poa_bench.registry import DATASETS
from poa_bench.runs.galleries import MISSING, handful
from poa_bench.tasks.base import FrozenFeatures
from poa_bench.tasks.knn import KnnProtocol

BANK, QUERIES = 40, 9
CLASSES = ("ant", "bee", "<b>cat</b>")


@DATASETS.register_module()
class Greys(torch.utils.data.Dataset):
    """Pictures of one grey each, which says their place."""

    metainfo = {"classes": CLASSES}

    def __init__(self, count, step):
        self.count, self.step = count, step

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        picture = torch.full((3, 16, 16), self.step * place, dtype=torch.uint8)
        return {"inputs": picture, "label": place % 3}


DATA = EvaluationData(
    "greys",
    {"type": "poa_bench.Greys", "count": BANK, "step": 6},
    {"type": "poa_bench.Greys", "count": QUERIES, "step": 20},
    image_size=16,
)


@pytest.fixture(scope="module")
def features():
    draw = torch.Generator().manual_seed(0)
    made = {
        name: Features(torch.randn(count, 12, generator=draw), torch.arange(count) % 3, 0.0)
        for name, count in (("train", BANK), ("test", QUERIES))
    }
    return FrozenFeatures(made, DATA, Place())


def test_neighbours_are_scikit_learns_and_the_picture_shows_them(features):
    protocols = [KnnProtocol(k=8), KnnProtocol(k=3)]
    first, second = (found for _, found in KnnProtocol.measure_all(protocols, features))
    assert first.galleries == second.galleries and MISSING not in first.facts
    ((gallery),) = first.galleries
    judge = NearestNeighbors(n_neighbors=SHOWN, metric="cosine").fit(features.splits["train"].features.numpy())
    queries = handful(QUERIES)
    expected = judge.kneighbors(features.splits["test"].features[queries].numpy(), return_distance=False)
    assert [row.name for row in gallery.rows] == [f"test picture {place}" for place in queries]
    for row, query, places in zip(gallery.rows, queries, expected, strict=True):
        assert row.truth.caption == CLASSES[query % 3]
        assert row.found.caption == ", ".join(CLASSES[place % 3] for place in places)
        with Image.open(io.BytesIO(row.truth.data)) as image:
            assert np.asarray(image).mean() == pytest.approx(20 * query, abs=3)
        with Image.open(io.BytesIO(row.found.data)) as image:
            shown = np.asarray(image.convert("RGB")).astype(int)
        side = TILE + 2 * FRAME + 1
        for number, place in enumerate(places):
            top, left = 1 + side * (number // 3), 1 + side * (number % 3)
            middle = shown[top + FRAME + 8 : top + side - 12, left + FRAME + 8 : left + side - 12]
            assert middle.mean() == pytest.approx(6 * place, abs=4)
            colour = RIGHT if place % 3 == query % 3 else WRONG
            frame = shown[top + 12 : top + side - 12, left + 1].mean(0)  # WebP shares colours between pixels
            other = WRONG if colour == RIGHT else RIGHT
            assert np.abs(frame - colour).sum() < np.abs(frame - other).sum()


def test_neighbours_of_queries_that_were_asked_for(features):
    bank, queries = ((each.features, each.labels) for each in features.splits.values())
    found = knn_ranks(*bank, *queries, [(5, 0.07)], shown=[7, 2])
    judge = NearestNeighbors(n_neighbors=5, metric="cosine").fit(bank[0].numpy())
    expected = judge.kneighbors(queries[0][[7, 2]].numpy(), return_distance=False)
    np.testing.assert_array_equal(found.nearest, expected)
    assert knn_ranks(*bank, *queries, [(5, 0.07)]).nearest.shape == (0, 5)


def test_scores_are_there_where_a_picture_cannot_be_drawn(features):
    class Broken(Greys):
        def __getitem__(self, place):
            raise OSError("the disk is gone")

    data = EvaluationData("greys", DATA.train, DATA.test, image_size=16)
    data.splits["train"].dataset = Broken(BANK, 6)
    broken = FrozenFeatures(features.splits, data, Place())
    ((_, found),) = KnnProtocol.measure_all([KnnProtocol(k=3)], broken)
    assert found.metrics.keys() >= {"top1"} and not found.galleries
    assert found.facts[MISSING] == "OSError: the disk is gone"

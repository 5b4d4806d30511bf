# Food-101 (data/food-101).
_list = dict(
    type="poa_bench.ListedImages",
    path="data/food-101/images",
    pattern=r"(?P<path>(?P<label>[^/]+)/\d+)",
    picture="{path}.jpg",
)
evaluation = dict(
    name="food",
    train=dict(ann_file="data/food-101/meta/train.txt", **_list),
    test=dict(ann_file="data/food-101/meta/test.txt", **_list),
)

# Describable Textures, the first of its ten splits (data/dtd).
_list = dict(type="poa_bench.ListedImages", path="data/dtd/images", pattern=r"(?P<path>(?P<label>[^/]+)/.+)")
evaluation = dict(
    name="dtd",
    train=dict(ann_file="data/dtd/labels/train1.txt", **_list),
    val=dict(ann_file="data/dtd/labels/val1.txt", **_list),
    test=dict(ann_file="data/dtd/labels/test1.txt", **_list),
)

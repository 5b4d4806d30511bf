# Oxford-IIIT Pets, 37 breeds, mean per class: data/oxford-iiit-pet as torchvision has it.
_list = dict(
    type="poa_bench.ListedImages",
    path="data/oxford-iiit-pet/images",
    pattern=r"(?P<path>(?P<label>\S+)_\d+) \d+ \d+ \d+",
    picture="{path}.jpg",
)
evaluation = dict(
    name="pets",
    metric="balanced_top1",
    train=dict(ann_file="data/oxford-iiit-pet/annotations/trainval.txt", **_list),
    test=dict(ann_file="data/oxford-iiit-pet/annotations/test.txt", **_list),
)

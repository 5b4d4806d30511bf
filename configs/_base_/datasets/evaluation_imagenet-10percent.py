# ImageNet-1K with SimCLR's list of 10 % of the labels (10percent.txt, one file name a line).
_base_ = "./evaluation_imagenet.py"
evaluation = dict(
    name="imagenet-10percent",
    train=dict(
        _delete_=True,
        type="poa_bench.ListedImages",
        path="data/imagenet/train",
        ann_file="data/imagenet/10percent.txt",
        pattern=r"(?P<path>(?P<label>n\d+)_\d+\.JPEG)",
        picture="{label}/{path}",
    ),
)

# ImageNet-1K with other test sets, for robustness-logreg-shifted/1: their archives unpacked in data/. Whoever has some
# of them copies this file and takes out the others. Folders of ImageNet-V2 are numbers.
_base_ = "./evaluation_imagenet.py"
evaluation = dict(
    name="imagenet-shifted",
    shifted=dict(
        v2=dict(type="poa_bench.Images", path="data/imagenetv2-matched-frequency-format-val", numbered=True),
        real=dict(type="poa_bench.ReassessedImages", path="data/imagenet/val", ann_file="data/imagenet/real.json"),
        a=dict(type="poa_bench.Images", path="data/imagenet-a"),
        r=dict(type="poa_bench.Images", path="data/imagenet-r"),
        sketch=dict(type="poa_bench.Images", path="data/sketch"),
    ),
)

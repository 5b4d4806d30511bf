# Every thirteenth train picture of ImageNet-1K as bank, 10,009 others as validation split: for k-NN while training
# (poa_bench.KnnHook), which never looks at the test split. Its numbers are no k-NN of ImageNet-1K.
_base_ = "./evaluation_imagenet.py"
evaluation = dict(
    name="imagenet-100k",
    train=dict(indices=list(range(0, 1281167, 13))),
    val=dict(type="poa_bench.Images", path="data/imagenet/train", indices=list(range(1, 1281167, 128))),
)

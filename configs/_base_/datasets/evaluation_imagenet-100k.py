# Every thirteenth train picture of ImageNet-1K as bank, each tenth of their successors as validation split: for k-NN
# while training (poa_bench.KnnHook), which never looks at the test split. Its numbers are no k-NN of ImageNet-1K.
_base_ = "./evaluation_imagenet.py"
evaluation = dict(
    name="imagenet-100k",
    train=dict(indices=dict(step=13)),
    # a step that 13 divides: no picture of the bank is hit
    val=dict(type="poa_bench.Images", path="data/imagenet/train", indices=dict(start=1, step=130)),
)

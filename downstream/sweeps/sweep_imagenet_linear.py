# The official linear probe of the named sizes on ImageNet-1K, by which the published numbers were made: 52 heads,
# 12,500 steps of 2048 pictures, the best head chosen on the val set of ImageNet, which is the test split here. For a
# score that holds for new pictures: linear-sgd-i12500-b2048-valsplit/2, which chooses on pictures held out of train.
#   poa-bench run sweep_imagenet_linear --checkpoint work_dirs/RUN/iter_N.pth --gpus 8
tasks = [
    dict(
        task="linear",
        dataset="imagenet",
        protocols=["linear-sgd-i12500-b2048-testsplit/1"],
        specs="named",
        settings=dict(amp="bf16"),
    )
]
slurm = dict(cpus=24, time=2880)

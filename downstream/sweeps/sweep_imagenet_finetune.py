# Fine-tuning on ImageNet-1K with the official settings (8 GPUs a run): the named sizes, each with its own config.
#   poa-bench run sweep_imagenet_finetune --checkpoint work_dirs/RUN/iter_N.pth --executor slurm \
#       --set slurm.partition=gpu
tasks = [
    dict(
        task="classification",
        families=[size.split("-")[0]],
        specs=[size],
        gpus=8,
        settings=dict(config=f"finetune_{size}_imagenet.py"),
    )
    for size in (
        *("vit-s", "vit-b", "vit-l"),
        *("swin-t", "swin-s", "swin-b"),
        *("resnet-50", "resnet-101", "resnet-152"),
    )
]
slurm = dict(cpus=64, time=1440)

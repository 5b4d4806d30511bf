# Semantic segmentation on ADE20K with the paper's protocols (UPerNet and a linear head, 160k iterations, 8 GPUs a run):
# the named sizes of a ViT space, each with its own learning rate, layer decay, drop path and head width.
#   poa-bench run sweep_ade20k --checkpoint work_dirs/RUN/iter_N.pth --executor slurm --set slurm.partition=gpu
_upernet = [
    dict(
        task="segmentation",
        families=["vit"],
        specs=[spec],
        gpus=8,
        settings=dict(
            config="upernet_ade20k.py",
            cfg_options={
                "optim_wrapper.optimizer.lr": lr,
                "optim_wrapper.paramwise_cfg.layer_decay_rate": decay,
                "model.backbone.drop_path_rate": drop_path,
                "model.decode_head.channels": channels,
            },
        ),
    )
    # vit-l is not in the paper: it takes what vit-b does
    for spec, lr, decay, drop_path, channels in (
        ("vit-s", 6e-5, 0.8, 0.1, 384),
        ("vit-b", 4e-5, 0.9, 0.15, 768),
        ("vit-l", 4e-5, 0.9, 0.15, 768),
    )
]
_linear = dict(task="segmentation", specs="named", gpus=8, settings=dict(config="linear-seg_ade20k.py"))
tasks = [*_upernet, _linear]
slurm = dict(cpus=64, time=1440)

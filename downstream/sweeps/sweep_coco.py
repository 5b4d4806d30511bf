# Detection and instance segmentation on COCO with the paper's protocol (Cascade Mask R-CNN, 36 epochs, 8 GPUs a run):
# the named sizes of a ViT space, each with its own learning rate, layer decay and drop path.
#   poa-bench run sweep_coco --checkpoint work_dirs/RUN/iter_N.pth --executor slurm --set slurm.partition=gpu
_config = "cascade-mask-rcnn_fpn_coco.py"
tasks = [
    dict(
        task="detection",
        families=["vit"],
        specs=[spec],
        gpus=8,
        settings=dict(
            config=_config,
            cfg_options={
                "optim_wrapper.optimizer.lr": lr,
                "optim_wrapper.paramwise_cfg.layer_decay_rate": decay,
                "model.backbone.drop_path_rate": drop_path,
            },
        ),
    )
    # vit-l is not in the paper: it takes what vit-b does
    for spec, lr, decay, drop_path in (
        ("vit-s", 3e-4, 0.7, 0.1),
        ("vit-b", 1e-4, 0.65, 0.2),
        ("vit-l", 1e-4, 0.65, 0.2),
    )
]
slurm = dict(cpus=64, time=1440)

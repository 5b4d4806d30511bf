# As sweep_digits.py, to see that everything works: dense tasks with 20 iterations, on the smallest size; short
# profiles; of the light tasks, k-NN alone has controls.
_short = {
    "train_cfg.max_iters": 20,
    "param_scheduler.0.end": 3,
    "param_scheduler.1.begin": 3,
    "param_scheduler.1.end": 20,
}
_quick = {**_short, "measurement.protocol": "quick-digits/3"}
_dense = dict(specs=["smallest"], initialisations=["pretrained", "random"])
tasks = [
    dict(task="knn", dataset="digits", initialisations=["pretrained", "random", "pixels"]),
    dict(task="linear", dataset="digits"),
    dict(task="profile", dataset="digits", protocols=["profile-b1-b32-s0.25/1"]),
    dict(
        task="patch-knn",
        dataset="digits-scenes",
        protocols=["patch-knn-k30-T0.02-s8cls-n2000-whole/1"],
        settings=dict(cfg_options={"evaluation.train.indices": 50, "evaluation.val.indices": 20}),
    ),
    dict(
        task="detection",
        families=["vit"],
        settings=dict(config="mask-rcnn_sfp_digits.py", cfg_options=_quick),
        **_dense,
    ),
    dict(
        task="detection",
        families=["swin", "resnet"],
        settings=dict(config="mask-rcnn_fpn_digits.py", cfg_options=_quick),
        **_dense,
    ),
    dict(task="segmentation", settings=dict(config="upernet_digits.py", cfg_options=_quick), **_dense),
]

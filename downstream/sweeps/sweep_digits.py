# Everything on the embedded data, on every size, with controls. Dense heads are trained on frozen backbones: when
# all is trained for so short a time, what is found does not tell pre-training from random weights (docs/evaluation.md).
#   poa-bench run sweep_digits --checkpoint work_dirs/RUN/iter_N.pth
_controls = ["pretrained", "random"]
_dense = dict(initialisations=_controls)
_light = dict(dataset="digits", initialisations=[*_controls, "pixels"])
_patches = "s8cls-n10000-slide2/1"  # a map of 8 px beside the class feature of windows; 10000 patches are enough here
_maps = dict(dataset="digits-scenes", initialisations=[*_controls, "pixels"])
tasks = [
    dict(task="knn", **_light),
    dict(task="linear", **_light),
    dict(task="kmeans", protocols=["kmeans-test-r2/1"], **_light),
    dict(task="retrieval", **_light),
    dict(task="robustness", protocols=["robustness-logreg-corruptions15-s3/1"], **_light),
    dict(task="profile", dataset="digits", protocols=["profile-b1-b32-s0.25/1"]),
    dict(task="patch-knn", protocols=[f"patch-knn-k30-T0.02-{_patches}"], **_maps),
    dict(task="patch-linear", protocols=[f"patch-linear-grid7-b0.5-{_patches}"], **_maps),
    dict(task="detection", families=["vit"], settings=dict(config="mask-rcnn_sfp-frozen_digits.py"), **_dense),
    dict(
        task="detection",
        families=["swin", "resnet"],
        settings=dict(config="mask-rcnn_fpn_digits.py"),
        specs=["smallest", "middle", "intact"],
        **_dense,
    ),
    dict(task="segmentation", settings=dict(config="upernet-frozen_digits.py"), **_dense),
]

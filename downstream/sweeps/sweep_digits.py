# Everything on the embedded data: k-NN, linear probe and profile of every size, dense tasks on three sizes, controls.
#   poa-bench run sweep_digits --checkpoint work_dirs/RUN/iter_N.pth
_controls = ["pretrained", "random"]
_dense = dict(specs=["smallest", "middle", "intact"], initialisations=_controls)
tasks = [
    dict(task="knn", dataset="digits", initialisations=[*_controls, "pixels"]),
    dict(task="linear", dataset="digits", initialisations=[*_controls, "pixels"]),
    dict(task="profile", dataset="digits"),
    dict(task="detection", families=["vit"], settings=dict(config="mask-rcnn_sfp_digits.py"), **_dense),
    dict(task="detection", families=["swin", "resnet"], settings=dict(config="mask-rcnn_fpn_digits.py"), **_dense),
    dict(task="segmentation", settings=dict(config="upernet_digits.py"), **_dense),
    dict(task="segmentation", settings=dict(config="linear-seg_digits.py"), **_dense),
]

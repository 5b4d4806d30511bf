# Photographs: every size of poa_vit_photos.py by all kinds of tasks, with controls (docs/photos.md). Three seeds where
# it takes a second or two: of a random network these are three networks, of k-means three starts; pre-trained features
# give k-NN, retrieval and rank one number. Linear probes, patches and heads take longer, and have one seed.
#   poa-bench run sweep_photos --checkpoint work_dirs/poa_vit_photos/iter_1136.pth --jobs 2
_seeds = [0, 1, 2]
_random = dict(dataset="caltech101", initialisations=["random"], seeds=_seeds)
_fixed = dict(dataset="caltech101", initialisations=["pretrained", "pixels"])
_all = ["pretrained", "random", "pixels"]
_patches = "s16-n10000-slide2/1"
_maps = dict(dataset="pets3", initialisations=_all)
_dense = dict(initialisations=["pretrained", "random"])
seeds = [0]
tasks = [
    dict(task="knn", **_fixed),
    dict(task="knn", **_random),
    dict(task="linear", dataset="caltech101", initialisations=_all),
    dict(task="kmeans", dataset="caltech101", initialisations=_all, seeds=_seeds),
    dict(task="retrieval", **_fixed),
    dict(task="retrieval", **_random),
    dict(task="rank", **_fixed),
    dict(task="rank", **_random),
    dict(task="calibration", dataset="caltech101", initialisations=_all),
    dict(task="profile", dataset="caltech101", protocols=["profile-b1-b32-s0.25/1"]),
    dict(task="patch-knn", protocols=[f"patch-knn-k30-T0.02-{_patches}"], **_maps),
    dict(task="patch-linear", protocols=[f"patch-linear-grid13-b0.5-{_patches}"], **_maps),
    dict(task="detection", settings=dict(config="faster-rcnn_sfp-frozen_bccd.py"), **_dense),
    dict(
        task="detection",
        settings=dict(config="faster-rcnn_sfp-frozen_coco-mini.py"),
        specs=["smallest", "intact"],  # nothing is found after so short a training: two sizes show it
        **_dense,
    ),
    dict(task="segmentation", settings=dict(config="upernet-frozen_pets.py"), **_dense),
]

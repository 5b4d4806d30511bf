# Photographs: every size of poa_vit_photos.py by all kinds of tasks, with controls (docs/photos.md). Three seeds where
# it takes seconds and differs by the seed: pre-trained features give k-NN, retrieval and rank one number.
#   poa-bench run sweep_photos --checkpoint work_dirs/poa_vit_photos/iter_1136.pth --jobs 2
_seeds = [0, 1, 2]
_photos = dict(dataset="caltech101")
_random = dict(initialisations=["random"], seeds=_seeds)
_fixed = dict(initialisations=["pretrained", "pixels"], seeds=[0])
_drawn = dict(initialisations=["pretrained", "random", "pixels"], seeds=_seeds)
_maps = dict(dataset="pets3")
_patches = "s16-n10000-slide2/1"
_dense = dict(initialisations=["pretrained", "random"], seeds=[0])
tasks = [
    dict(task="knn", **_photos, **_fixed),
    dict(task="knn", **_photos, **_random),
    dict(task="linear", **_photos, **_drawn),
    dict(task="kmeans", **_photos, **_drawn),
    dict(task="retrieval", **_photos, **_fixed),
    dict(task="retrieval", **_photos, **_random),
    dict(task="rank", **_photos, **_fixed),
    dict(task="rank", **_photos, **_random),
    dict(task="calibration", **_photos, **_drawn),
    dict(task="profile", **_photos, protocols=["profile-b1-b32-s0.25/1"], seeds=[0]),
    dict(task="patch-knn", protocols=[f"patch-knn-k30-T0.02-{_patches}"], **_maps, **_drawn),
    dict(task="patch-linear", protocols=[f"patch-linear-grid13-b0.5-{_patches}"], **_maps, **_drawn),
    dict(task="detection", settings=dict(config="faster-rcnn_sfp-frozen_bccd.py"), **_dense),
    dict(task="detection", settings=dict(config="faster-rcnn_sfp-frozen_coco-mini.py"), **_dense),
    dict(task="segmentation", settings=dict(config="upernet-frozen_pets.py"), **_dense),
]

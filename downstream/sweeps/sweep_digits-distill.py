# What tells sizes that learned from a frozen network from those that were cut from it (docs/distill.md): classes, by
# four light tasks, and patches.
#   poa-bench run sweep_digits-distill --checkpoint work_dirs/RUN/iter_N.pth
_light = dict(dataset="digits", initialisations=["pretrained", "random"])
tasks = [
    dict(task="knn", **_light),
    dict(task="linear", **_light),
    dict(task="kmeans", protocols=["kmeans-test-r2/1"], **_light),
    dict(task="retrieval", **_light),
    dict(task="profile", dataset="digits", protocols=["profile-b1-b32-s0.25/1"]),
    dict(
        task="patch-knn",
        dataset="digits-scenes",
        protocols=["patch-knn-k30-T0.02-s8cls-n10000-slide2/1"],
        initialisations=["pretrained", "random"],
    ),
]

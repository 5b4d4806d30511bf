# SUN397, the first of its ten partitions: data/SUN397, the lists of Partitions.zip unpacked in it.
_list = dict(type="poa_bench.ListedImages", path="data/SUN397", pattern=r"/(?P<path>(?P<label>.+)/[^/]+)")
evaluation = dict(
    name="sun397",
    train=dict(ann_file="data/SUN397/Training_01.txt", **_list),
    test=dict(ann_file="data/SUN397/Testing_01.txt", **_list),
)

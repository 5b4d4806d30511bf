# FGVC-Aircraft, 100 variants, mean per class: the official archive (data/fgvc-aircraft-2013b).
_folder = "data/fgvc-aircraft-2013b/data"
_list = dict(
    type="poa_bench.ListedImages",
    path=f"{_folder}/images",
    pattern=r"(?P<path>\d+) (?P<label>.+)",
    picture="{path}.jpg",
    classes=f"{_folder}/variants.txt",
)
evaluation = dict(
    name="aircraft",
    metric="balanced_top1",
    train=dict(ann_file=f"{_folder}/images_variant_train.txt", **_list),
    val=dict(ann_file=f"{_folder}/images_variant_val.txt", **_list),
    test=dict(ann_file=f"{_folder}/images_variant_test.txt", **_list),
)

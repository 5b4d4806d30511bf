# iNaturalist 2018, 8,142 species; its validation split is the test split here, as in published numbers.
_folder = "data/inat2018"
_list = dict(type="poa_bench.INaturalistImages", path=_folder)
evaluation = dict(
    name="inat18",
    train=dict(ann_file=f"{_folder}/train2018.json", **_list),
    test=dict(ann_file=f"{_folder}/val2018.json", **_list),
)

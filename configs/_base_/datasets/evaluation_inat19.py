# iNaturalist 2019, 1,010 species; its validation split is the test split here, as in published numbers.
_folder = "data/inat2019"
_list = dict(type="poa_bench.INaturalistImages", path=_folder)
evaluation = dict(
    name="inat19",
    train=dict(ann_file=f"{_folder}/train2019.json", **_list),
    test=dict(ann_file=f"{_folder}/val2019.json", **_list),
)

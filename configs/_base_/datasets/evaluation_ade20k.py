# ADE20K for dense tasks on frozen features: pictures whose shorter side is 512 px, and 150 classes (label 0 of the
# files, "other", is ignored), as for training (data_ade20k_512.py). A tenth of train is held out to choose penalties.
_data = dict(type="mmseg.ADE20KDataset", data_root="data/ade/ADEChallengeData2016")
evaluation = dict(
    name="ade20k",
    truth="label_maps",
    train=dict(data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"), **_data),
    test=dict(data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"), **_data),
    resize=512,
    workers=8,
)

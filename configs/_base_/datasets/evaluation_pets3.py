# Three breeds of pets and their background for dense tasks on frozen patches: pictures whose shorter side is 128 px,
# seen in windows of the pre-training's 96 px. A tenth of train is held out to choose penalties.
_data = dict(
    type="mmseg.BaseSegDataset",
    data_root="data/pets3_256/",
    metainfo=dict(classes=("background", "cat_Abyssinian", "cat_Bengal", "dog_american_bulldog")),
)
evaluation = dict(
    name="pets3",
    truth="label_maps",
    train=dict(data_prefix=dict(img_path="images/train", seg_map_path="masks/train"), **_data),
    test=dict(data_prefix=dict(img_path="images/test", seg_map_path="masks/test"), **_data),
    resize=128,
)

# PASCAL VOC 2007, several labels a picture, 11-point mAP: data/VOCdevkit/VOC2007.
_pictures = dict(type="poa_bench.VocClassification", path="data/VOCdevkit/VOC2007")
evaluation = dict(
    name="voc2007",
    metric="map11",
    train=dict(split="train", **_pictures),
    val=dict(split="val", **_pictures),
    test=dict(split="test", **_pictures),
)

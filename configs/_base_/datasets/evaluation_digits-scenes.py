# The embedded digit scenes for dense tasks on frozen features: 200 scenes with labels, at 96 px, where a window of
# 32 px shows one digit. That size was chosen among 64, 80, 96, 112 and 128 px by the dev scenes, of which 50 are enough
# for the choice of a penalty.
evaluation = dict(
    name="digits-scenes",
    truth="label_maps",
    train=dict(type="poa_bench.DigitsSegmentation", split="train", indices=200),
    val=dict(type="poa_bench.DigitsSegmentation", split="dev", indices=50),
    test=dict(type="poa_bench.DigitsSegmentation", split="val"),
    resize=96,
)

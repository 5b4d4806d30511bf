# The embedded digits for k-NN, linear probe and profile: pictures of 32 px, three splits that share no scan.
evaluation = dict(
    name="digits",
    image_size=32,
    mean=[127.5] * 3,
    std=[63.75] * 3,
    train=dict(type="poa_bench.DigitsClassification", split="train"),
    val=dict(type="poa_bench.DigitsClassification", split="val"),
    test=dict(type="poa_bench.DigitsClassification", split="test"),
)

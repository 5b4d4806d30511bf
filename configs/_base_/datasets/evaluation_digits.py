# The embedded digits for k-NN, linear probe and profile: pictures of 32 px, three splits that share no scan.
# Two of the four pictures of each training scan and half of the validation pictures are enough, and twice as fast.
evaluation = dict(
    name="digits",
    train=dict(type="poa_bench.DigitsClassification", split="train", indices=list(range(0, 4312, 2))),
    val=dict(type="poa_bench.DigitsClassification", split="val", indices=list(range(0, 807, 2))),
    test=dict(type="poa_bench.DigitsClassification", split="test"),
)

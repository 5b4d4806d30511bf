# Caltech-101 for k-NN and linear probe: pictures whose shorter side is 96 px, read from their zip.
evaluation = dict(
    name="caltech101",
    metric="balanced_top1",
    train=dict(type="poa_bench.Images", path="data/caltech101_s96.zip", folder="train"),
    test=dict(type="poa_bench.Images", path="data/caltech101_s96.zip", folder="test"),
)

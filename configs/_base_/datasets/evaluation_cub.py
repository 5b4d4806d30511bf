# Caltech-UCSD Birds 200-2011 (data/CUB_200_2011).
_birds = dict(type="poa_bench.CubImages", path="data/CUB_200_2011")
evaluation = dict(name="cub", train=dict(split="train", **_birds), test=dict(split="test", **_birds))

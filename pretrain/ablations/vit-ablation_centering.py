# Centering instead of Sinkhorn-Knopp; not in the paper.
_base_ = "../poa_vit_imagenet.py"

model = dict(targets=dict(type="poa_bench.CenteredTargets"))

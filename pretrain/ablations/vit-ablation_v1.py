# Elastic teacher and elastic student only (variant V1, Table 5): k-NN of ViT-S / B / L 73.7 / 78.5 / 79.2.
_base_ = "../poa_vit_imagenet.py"

model = dict(variant="v1")
model_wrapper_cfg = dict(find_unused_parameters=True)  # nothing touches all parameters in every step

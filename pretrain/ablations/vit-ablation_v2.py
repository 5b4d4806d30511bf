# Intact teacher, elastic student only (variant V2, Table 5): k-NN of ViT-S / B / L 74.3 / 79.1 / 80.9.
_base_ = "../poa_vit_imagenet.py"

model = dict(variant="v2")
model_wrapper_cfg = dict(find_unused_parameters=True)  # nothing touches all parameters in every step

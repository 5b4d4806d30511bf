# Supernets by another rule (docs/rules.md): heads and channels are nested, depth is not (HydraViT); one drawn size each
# step.
_base_ = "../poa_vit-digits.py"

model = dict(variant="v2", backbone=dict(alpha=False, space=dict(depths=[4], s_w=1.0)))
model_wrapper_cfg = dict(find_unused_parameters=True)  # nothing touches all parameters in every step

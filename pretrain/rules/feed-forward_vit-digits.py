# Supernets by another rule (docs/rules.md): only the feed-forward layers are nested (MatFormer), by factors of two as
# there; one drawn size a step.
_base_ = "../poa_vit-digits.py"

model = dict(
    variant="v2",
    backbone=dict(
        space=dict(family="matformer", widths=[72, 144, 288, 576], depths=[4], head_dim=None, s_w=1.0),
        embed_dim=144,
        num_heads=9,
    ),
)
model_wrapper_cfg = dict(find_unused_parameters=True)  # nothing touches all parameters in every step

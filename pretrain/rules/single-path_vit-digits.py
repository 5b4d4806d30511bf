# Supernets by another rule (docs/rules.md): one drawn size a step, of the first blocks, without factors (AutoFormer's
# single path), on the embedded digits, by POA's teacher instead of labels.
_base_ = "../poa_vit-digits.py"

model = dict(variant="v2", backbone=dict(alpha=False, space=dict(depth_rule="first", s_w=1.0, s_d=1.0)))
model_wrapper_cfg = dict(find_unused_parameters=True)  # nothing touches all parameters in every step

# Supernets by another rule (docs/rules.md): one drawn size a step finds what a frozen network, which sees the whole
# crop, says of its masked patches (as MaskTAS).
#   python tools/train.py masked-features_vit-digits.py --cfg-options model.teacher.checkpoint=FILE
_base_ = "../distillation/distill_vit-digits.py"

model = dict(students="single-path", head=dict(weights=dict(cls=0.0, tokens=0.0, masked=1.0)))
train_dataloader = dict(collate_fn=dict(mask_probability=1.0, mask_ratio=(0.5, 0.75)))
model_wrapper_cfg = dict(find_unused_parameters=True)  # nothing touches all parameters in every step

# As poa_vit-digits.py, in a minute or two: to see that everything works, not to learn much.
_base_ = "./poa_vit-digits.py"
train_cfg = dict(max_epochs=2)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=0.5)
param_scheduler[1].update(begin=0.5)

# All settings of the paper's text where the official code ran with others. Not published: the results are the code's.
# As in the code, the temperature is inside the exponential of Sinkhorn-Knopp (eq. 5: outside).
_base_ = ["../poa_swin_imagenet.py", "../../configs/_base_/schedules/paper_text.py"]

model = dict(loss_weights=_base_.paper_text.loss_weights, backbone=dict(space=dict(s_w=3.0, s_d=3.0)))
pipeline = _base_.train_dataloader.dataset.pipeline
pipeline[0].photometric.update(_base_.paper_text.photometric)
train_dataloader = dict(dataset=dict(pipeline=pipeline))
optim_wrapper = _base_.paper_text.optim_wrapper
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(_base_.paper_text.warmup)
param_scheduler[1].update(_base_.paper_text.cosine, eta_min_ratio=2e-5 / (4e-3 * 2048 / 1024))
param_scheduler[2].update(_base_.paper_text.weight_decay)
default_hooks = _base_.paper_text.default_hooks

# All settings of the paper's text where the official code ran with others. Not published: the results are the code's.
# As in the code, the temperature is inside the exponential of Sinkhorn-Knopp (eq. 5: outside).
_base_ = "../poa_vit_imagenet.py"

model = dict(loss_weights=dict(weighting="paper"))
pipeline = _base_.train_dataloader.dataset.pipeline
pipeline[0].photometric.update(blur=(1.0, 0.1, 0.5))
train_dataloader = dict(dataset=dict(pipeline=pipeline))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.9, clip_apart=False))
param_scheduler = _base_.param_scheduler  # the whole cosine after 10 epochs of warm-up
param_scheduler[0].update(end=10)
param_scheduler[1].update(begin=10, cut=1.0, eta_min_ratio=2e-5 / (4e-3 * 1600 / 1024))
param_scheduler[2].update(cut=1.0)
default_hooks = dict(
    learning_rate_scale=dict(rule="linear"),
    subnet=dict(mode="step"),
    teacher_momentum=dict(cut=1.0),
)

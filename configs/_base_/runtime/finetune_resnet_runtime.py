# As finetune_runtime.py; a ResNet's head sees the stages 2 to 4, and its first convolution has no weight decay.
_base_ = "./finetune_runtime.py"
model = dict(backbone=dict(output="pooled_stages"))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"network.conv1": dict(decay_mult=0.0)}))

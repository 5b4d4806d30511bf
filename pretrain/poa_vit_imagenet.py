# POA on ImageNet-1K, 143 ViT sizes. Published with 32 A100 (80 GB): batch 1600, 77 GB per GPU, 2752 GPU hours.
#   torchrun --nproc_per_node=8 tools/train.py poa_vit_imagenet.py --launcher pytorch
# Predicted for 8 H200 of 50 images: 72.82 GiB each, 103 h if they reach 30 % of their rate (poa-bench predict-cost).
# Measured on one H200, steps alone (reports/benchmarks/device_step.txt): 67 GiB; 161 images/s with three of the eleven
# widths, 31 % of the rate; 116 images/s without compile_blocks.
# Expected (teacher, k-NN / linear probe on ImageNet-1K): ViT-S 76.8 / 77.6, ViT-B 80.9 / 81.7, ViT-L 82.3 / 83.6.
# Fewer GPUs: optim_wrapper.accumulative_counts=4 (a micro-batch each, with a size of its own), or
# model.checkpoint_activations=True, or optim_wrapper.optimizer.type=poa_bench.ShardedAdamW.
# Settings are those that the official code ran with; where the paper's text differs, it is said beside the value. The
# paper trained in fp16 (`--amp float16`); bf16 needs no loss scaling. model.loss_weights.weighting="paper" counts
# global:local and ES1:ES2 1:1 as in the text. Learning rate 0.004 * sqrt(batch / 1024) with any number of GPUs.
_base_ = [
    "../configs/_base_/models/poa_vit_paper.py",
    "../configs/_base_/datasets/data_imagenet_pretrain.py",
    "../configs/_base_/schedules/poa_imagenet.py",
]
model = dict(compile_blocks=True)
epochs = 346
warmup = 10
cut = 0.78  # where the cosines of learning rate, weight decay and momentum stop (`iter_num_scale`; not in the paper)
train_cfg = dict(max_epochs=epochs)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=warmup)
param_scheduler[1].update(begin=warmup, T_max=epochs / cut - warmup)
param_scheduler[2].update(T_max=epochs / cut)
default_hooks = dict(teacher_momentum=dict(cut=cut))

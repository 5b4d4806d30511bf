# Hooks, log and checkpoints of every pre-training.
default_scope = "poa_bench"
randomness = dict(seed=0)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="poa_bench.PretrainCheckpointHook", interval=1000, max_keep_ckpts=2),
    runtime_info=dict(type="poa_bench.AveragedRuntimeInfoHook"),
    sampler_seed=None,
    not_finite=dict(type="poa_bench.NonFiniteHook"),
    throughput=dict(type="poa_bench.ThroughputHook"),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
model_wrapper_cfg = dict(
    type="MMDistributedDataParallel",
    broadcast_buffers=False,
    find_unused_parameters=False,  # the intact student and the masks touch every parameter in every step
    gradient_as_bucket_view=True,
)
# "high": TF32 for the logits and what else is a product of float32; as precise as the official code's fp16
float32_matmul_precision = "highest"
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="Visualizer", vis_backends=vis_backends)
log_processor = dict(
    type="LogProcessor",
    window_size=50,
    by_epoch=False,
    mean_pattern="loss|time|grad_norm",  # means of the window; the objective's terms are added, they make up the loss
)
log_level = "INFO"
load_from = None
resume = False

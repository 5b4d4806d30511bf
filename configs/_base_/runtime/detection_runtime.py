# mmdet's, for runs that are counted in iterations.
_base_ = "mmdet::_base_/default_runtime.py"

log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=1))

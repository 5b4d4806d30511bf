# So many iterations of the heads alone, the backbone frozen: one high learning rate, since no layers are left to decay
# over; warm-up over a tenth, then cosine. train_cfg.max_iters alone makes it longer or shorter.
_base_ = "./dense_iterations.py"

optim_wrapper = dict(optimizer=dict(lr=2e-3), constructor="DefaultOptimWrapperConstructor", paramwise_cfg=None)

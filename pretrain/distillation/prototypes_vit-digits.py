# As distill_vit-digits.py, by the teacher's own prototypes (DINOv3): all terms of POA, with a teacher that stays.
_base_ = "../poa_vit-digits.py"

model = dict(type="poa_bench.DistillPrototypes", teacher=dict(checkpoint=None))

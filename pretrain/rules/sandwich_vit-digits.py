# Supernets by another rule (docs/rules.md): the largest learns from the teacher; the smallest and two drawn sizes learn
# from the largest (sandwich rule and in-place distillation of US-Net and BigNAS). Twice the students of POA a step.
_base_ = "../poa_vit-digits.py"

model = dict(variant="sandwich")

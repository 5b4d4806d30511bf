# k-NN (k 10, 20, 100, 200), linear probe and profile of every size on ImageNet-1K, with random networks of the named
# sizes as controls. Images are expected in data/imagenet/{train,val}.
#   poa-bench run sweep_imagenet_light --checkpoint work_dirs/RUN/iter_N.pth --gpus 8
#   poa-bench run sweep_imagenet_light --checkpoint ... --executor slurm --set slurm.partition=gpu
_amp = dict(amp="bf16")
_knn = [f"knn-k{k}-T0.07/1" for k in (10, 20, 100, 200)]
_profile = ["profile-b1-b32-s0.25/1"]  # nothing may run beside a profile: hundreds of sizes get a quarter of a second
tasks = [
    dict(task="knn", dataset="imagenet", protocols=_knn, settings=_amp),
    dict(task="linear", dataset="imagenet", settings=_amp),
    dict(task="knn", dataset="imagenet", protocols=_knn, settings=_amp, specs="named", initialisations=["random"]),
    dict(task="profile", dataset="imagenet", protocols=_profile),
    dict(task="profile", dataset="imagenet", protocols=_profile, settings=_amp),
]
slurm = dict(cpus=12, time=720, runs_per_job=40)

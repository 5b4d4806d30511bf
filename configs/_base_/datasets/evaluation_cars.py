# Stanford Cars with its development kit: data/stanford_cars as torchvision has it.
_folder = "data/stanford_cars"
_cars = dict(type="poa_bench.CarsImages", classes=f"{_folder}/devkit/cars_meta.mat")
evaluation = dict(
    name="cars",
    train=dict(path=f"{_folder}/cars_train", annotations=f"{_folder}/devkit/cars_train_annos.mat", **_cars),
    test=dict(path=f"{_folder}/cars_test", annotations=f"{_folder}/cars_test_annos_withlabels.mat", **_cars),
)

"""Pictures per second and core of the multi-crop input, against the plain PIL pipeline.

`python -m benchmarks.input_pipeline` makes its own JPEGs; `--path` takes yours.

All ways cut the same kind of views (2 of 224 px, 8 of 96 px, the paper's colours and blur) from the same JPEGs and put
them into a batch of bytes, which is normalised as a whole later. They are timed in turn, round by round, by processor
time of one thread; the ratios are the medians over the rounds.

    pil       the usual way: PIL decodes, torchvision's transforms change one crop after the other (DINOv2, POA)
    v2        torchvision's transforms v2 on tensors, decoded by torchvision
    worker    ours, all in the worker
    device    ours, colours and blur left to the device: what the worker does

The decoders alone are compared in the same way.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from types import ModuleType

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision import transforms
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

from poa_bench.datasets.sources import decode, open_images
from poa_bench.pretraining.crops import MultiCrop, collate_crops
from poa_bench.pretraining.photometric import change_batch
from poa_bench.pretraining.samplers import SampleIndex

BLUR, SOLARISE = (1.0, 0.1, 0.5), (0.0, 0.2, 0.0)  # of the first global, second global and local crops


def made_jpegs(count: int) -> list[bytes]:
    """Noisy gradients of ImageNet's usual size, 500x375 px, about 110 kB as its files are."""
    jpegs = []
    for i in range(count):
        rng = np.random.default_rng(i)
        smooth = cv2.resize(rng.integers(0, 256, (30, 40, 3), np.uint8), (500, 375), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
        jpegs.append(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
    return jpegs


def own_jpegs(path: str, folder: str, count: int) -> list[bytes]:
    """The first pictures below a folder or in an archive, encoded."""
    source = open_images(path, folder)
    return [source.store.read(place) for place in source.places[:: max(1, len(source.places) // count)][:count]]


def usual_pipeline(library: ModuleType, global_size: int, local_size: int) -> Callable[[list[bytes]], list[Tensor]]:
    """The augmentation of DINOv2 and POA as it is usually written, on PIL images, or on tensors by transforms v2."""
    on_tensors = library is v2

    def view(size: int, scale: tuple[float, float], kind: int) -> Callable:
        return library.Compose(
            [
                library.RandomResizedCrop(size, scale=scale, interpolation=library.InterpolationMode.BICUBIC),
                library.RandomHorizontalFlip(),
                library.RandomApply([library.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
                library.RandomGrayscale(p=0.2),
                library.RandomApply([library.GaussianBlur(9, (0.1, 2.0))], p=BLUR[kind]),
                library.RandomSolarize(128, p=SOLARISE[kind]),
                *([] if on_tensors else [library.PILToTensor()]),
            ]
        )

    views = [view(global_size, (0.32, 1.0), kind) for kind in (0, 1)] + 8 * [view(local_size, (0.05, 0.32), 2)]
    open_picture = _torchvision_picture if on_tensors else _pil_picture

    def batch(jpegs: list[bytes]) -> list[Tensor]:
        pictures = [open_picture(jpeg) for jpeg in jpegs]
        return [torch.stack([change(picture) for picture in pictures]) for change in views]

    return batch


def _pil_picture(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def _torchvision_picture(jpeg: bytes) -> Tensor:
    return decode_jpeg(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), ImageReadMode.RGB)


def our_pipeline(global_size: int, local_size: int, on_device: bool) -> Callable[[list[bytes]], dict[str, Tensor]]:
    """The same views by poa_bench, uint8; normalised later for the whole batch."""
    cut = MultiCrop(global_size, local_size, photometric=dict(blur=BLUR, solarise=SOLARISE), on_device=on_device)

    def item(position: int, jpeg: bytes) -> dict:
        index = SampleIndex(position, position=position)
        return cut({"inputs": decode(jpeg, "a picture"), "sample_idx": index, "name": "a picture", "label": 0})

    def batch(jpegs: list[bytes]) -> dict[str, Tensor]:
        return collate_crops([item(i, jpeg) for i, jpeg in enumerate(jpegs)], grid=(14, 14))["inputs"]

    return batch


def rates(ways: dict[str, Callable], jpegs: list[bytes], rounds: int) -> dict[str, list[float]]:
    """Pictures per second of processor time: for each way, one number a round."""
    found = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            way(jpegs)
            found[name].append(len(jpegs) / (time.process_time() - start))
    return found


def compare(title: str, ways: dict[str, Callable], jpegs: list[bytes], rounds: int) -> None:
    """Measure after a warm-up, and print a table."""
    rates(ways, jpegs[:2], 1)
    found = rates(ways, jpegs, rounds)
    table = Table(title, "pictures/s per core", "slowest to fastest round", "times the PIL way")
    for name, values in found.items():
        ratio = statistics.median(value / pil for value, pil in zip(values, found["pil"], strict=True))
        spread = f"{min(values):.1f} to {max(values):.1f}"
        table.add_row(name, f"{statistics.median(values):.1f}", spread, f"{ratio:.2f}")
    Console().print(table)


def device_milliseconds(read: Callable[[list[bytes]], dict], jpegs: list[bytes], device: str) -> float:
    """Time of the part left to the device, per picture of a batch of 64."""
    batch = read([jpegs[i % len(jpegs)] for i in range(64)])
    parts = [batch[f"{kind}_crops"].to(device) for kind in ("global", "local")]
    rows = [batch[f"photometric_{kind}"] for kind in ("global", "local")]
    for repeat in range(4):
        if repeat == 1:
            start = _now(device)
        for crops, parameters in zip(parts, rows, strict=True):
            change_batch(crops, parameters)
    return (_now(device) - start) / 3 / 64 * 1000


def _now(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="folder, tar or zip of your JPEGs (default: made ones of 500x375 px)")
    parser.add_argument("--folder", default="", help="only those below this folder, e.g. train")
    parser.add_argument("--pictures", type=int, default=16, help="different pictures (default 16)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs=2, default=(224, 96), metavar=("GLOBAL", "LOCAL"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    jpegs = own_jpegs(args.path, args.folder, args.pictures) if args.path else made_jpegs(args.pictures)
    ways = {
        "pil": usual_pipeline(transforms, *args.sizes),
        "v2": usual_pipeline(v2, *args.sizes),
        "worker": our_pipeline(*args.sizes, on_device=False),
        "device": our_pipeline(*args.sizes, on_device=True),
    }
    decoders = {
        "pil": lambda jpegs: [np.asarray(_pil_picture(jpeg)) for jpeg in jpegs],
        "OpenCV (ours)": lambda jpegs: [decode(jpeg, "a picture") for jpeg in jpegs],
        "torchvision": lambda jpegs: [_torchvision_picture(jpeg) for jpeg in jpegs],
    }
    compare("pipeline", ways, jpegs, args.rounds)
    compare("decoder alone", decoders, jpegs, args.rounds)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"left to the device ({device}): {device_milliseconds(ways['device'], jpegs, device):.3f} ms per picture")


if __name__ == "__main__":
    main()

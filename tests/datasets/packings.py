"""Folders of small pictures, and everything that they can be packed into."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"a": (220, 40, 40), "b": (40, 220, 40), "c": (40, 40, 220), "d": (220, 220, 40)}


def coloured(folder: Path, classes: str, count: int = 4, seed: int = 0) -> Path:
    """Class folders of pictures of 8x8 pixels: each class is one colour plus noise, so nothing is easier to tell."""
    rng = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture = np.clip(COLOURS[name] + rng.normal(0, 10, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / name / f"{i}.png")
    return folder


def as_zip(folder: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """The folder's files in a zip beside it."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder))
    return path


def as_tar(folder: Path) -> Path:
    """The folder in a tar beside it, links as they are."""
    path = folder.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        archive.add(folder, ".")
    return path


def as_tar_of_tars(folder: Path) -> Path:
    """The layout of ImageNet's training archive: one tar for each class folder in a tar."""
    path = folder.with_name(f"{folder.name}-nested.tar")
    with tarfile.open(path, "w") as outer:
        for inside in sorted((f for f in folder.iterdir() if f.is_dir()), reverse=True):
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w") as inner:
                inner.add(inside, ".")
            member = tarfile.TarInfo(f"{inside.name}.tar")
            member.size = stream.tell()
            stream.seek(0)
            outer.addfile(member, stream)
    return path


def as_npz(folder: Path, split: int = 0) -> Path:
    """The pictures of class folders as JPEGs in an .npz, numbered by the classes of this folder alone."""
    files = sorted(folder.glob("*/*"))
    names = sorted({file.parent.name for file in files})
    encoded = []
    for file in files:
        stream = io.BytesIO()
        Image.open(file).save(stream, "JPEG")
        encoded.append(np.frombuffer(stream.getvalue(), np.uint8))
    path = folder.with_suffix(".npz")
    np.savez(
        path,
        data=np.concatenate(encoded),
        offsets=np.cumsum([0, *map(len, encoded)]),
        labels=np.array([names.index(file.parent.name) for file in files], np.uint8),
        split=np.full(len(files), split),
        classes=np.array(names),
    )
    return path


def as_list(folder: Path, label=str) -> Path:
    """An annotation list of class folders; ``label`` makes a class name the label that is written."""
    path = folder.with_suffix(".txt")
    files = sorted(file.relative_to(folder) for file in folder.glob("*/*"))
    path.write_text("".join(f"{file} {label(file.parent.name)}\n" for file in files))
    return path

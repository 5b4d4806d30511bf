"""Files in a folder or inside an archive, read one by one without unpacking.

Archives are read with ``os.pread`` at known offsets: nothing is shared that two workers could move, and no worker has
to read the archive's index again.
"""

import hashlib
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from poa_bench.datasets.cache import build_once
from poa_bench.errors import InputError

_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_ZIP_HEADER = struct.Struct("<26xHH")  # of a file inside a zip: 26 bytes, length of the name, length of the extra field


class FolderStore:
    """The files below a folder.

    Args:
        root: the folder.
        names: (N,) bytes, paths relative to it; by default those of all files below it, sorted.
    """

    def __init__(self, root: Path, names: np.ndarray | None = None):
        self.root = root
        self.origin = str(root.resolve())
        self.names = self._walk() if names is None else names

    def _walk(self) -> np.ndarray:
        walk = os.walk(self.root, followlinks=True)
        paths = (os.path.join(folder, file) for folder, _, files in walk for file in files)
        return np.array(sorted(os.path.relpath(path, self.root).replace(os.sep, "/").encode() for path in paths), "S")

    def read(self, position: int) -> bytes:
        """Return the bytes of file ``position``."""
        return (self.root / self.names[position].decode()).read_bytes()


class ArchiveStore:
    """The files of an uncompressed tar (also a tar of tars, as ImageNet comes) or of a zip.

    The archive's index is kept in the cache folder, because walking through a large tar takes minutes.

    Raises:
        InputError: the file is no such archive.
    """

    def __init__(self, path: Path):
        self.path = path.resolve()
        self.origin = str(self.path)
        stat = self.path.stat()
        key = hashlib.sha256(f"{self.path} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16]
        with np.load(build_once(f"archives-v1/{key}", self._write_index) / "index.npz", allow_pickle=False) as index:
            self.names, self.offsets, self.sizes, self.methods = (
                index[k] for k in ("names", "offsets", "sizes", "methods")
            )
        self._file: int | None = None

    def _write_index(self, folder: Path) -> None:
        walk = _walk_zip if zipfile.is_zipfile(self.path) else _walk_tar
        try:
            rows = sorted(walk(self.path))
        except (tarfile.TarError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self.path} is neither a zip nor an uncompressed tar ({error}); "
                "decompress it, or unpack it and give the folder"
            ) from error
        names, offsets, sizes, methods = zip(*rows, strict=True) if rows else ((), (), (), ())
        numbers = {"offsets": np.array(offsets, np.int64), "sizes": np.array(sizes, np.int64)}
        np.savez(folder / "index.npz", names=np.array(names, "S"), methods=np.array(methods, np.int8), **numbers)

    def read(self, position: int) -> bytes:
        """Return the bytes of file ``position``."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDONLY)
        offset, size, method = int(self.offsets[position]), int(self.sizes[position]), int(self.methods[position])
        if method < 0:  # in a tar
            return os.pread(self._file, size, offset)
        name, extra = _ZIP_HEADER.unpack(os.pread(self._file, _ZIP_HEADER.size, offset))
        data = os.pread(self._file, size, offset + _ZIP_HEADER.size + name + extra)
        return zlib.decompress(data, -zlib.MAX_WBITS) if method == _DEFLATED else data

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}  # a spawned worker opens the archive itself

    def __del__(self):
        if getattr(self, "_file", None) is not None:
            os.close(self._file)


_Row = tuple[bytes, int, int, int]  # name, offset, stored size, method


def _walk_zip(path: Path) -> Iterator[_Row]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            if entry.compress_type not in (_STORED, _DEFLATED) or entry.flag_bits & 1:
                raise zipfile.BadZipFile(f"{entry.filename} is encrypted or compressed by a rare method")
            yield entry.filename.encode(), entry.header_offset, entry.compress_size, entry.compress_type


def _walk_tar(path: Path) -> Iterator[_Row]:
    with tarfile.open(path, "r:") as outer:
        for member in outer:
            if member.isfile() and member.name.endswith(".tar"):
                folder = member.name.removeprefix("./").removesuffix(".tar")
                with tarfile.open(fileobj=outer.extractfile(member), mode="r:") as inner:
                    for file in inner:
                        if file.isfile():
                            name = f"{folder}/{file.name.removeprefix('./')}"
                            yield name.encode(), member.offset_data + file.offset_data, file.size, -1
            elif member.isfile():
                yield member.name.removeprefix("./").encode(), member.offset_data, member.size, -1

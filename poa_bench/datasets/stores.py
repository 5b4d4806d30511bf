"""Files in a folder or inside an archive, read one by one without unpacking.

Archives are read with ``os.pread`` at known offsets: nothing is shared that two workers could move, and no worker has
to read the archive's index again.

Both kinds of store have ``names`` (N,) bytes, sorted; ``files`` (N,), equal for names of the same file; ``links`` (N,)
bool, names that are symbolic links or lie behind one; and ``unusable``, names of what is no file, by reason.
"""

import hashlib
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from poa_bench.datasets.archives import DEFLATED, IN_TAR, list_archive
from poa_bench.datasets.cache import build_once
from poa_bench.datasets.labels import readable
from poa_bench.errors import InputError
from poa_bench.files import state_of

_ZIP_HEADER = struct.Struct("<26xHH")  # of a file inside a zip: 26 bytes, length of the name, length of the extra field
_COLUMNS = {  # of an index
    "names": "S", "offsets": np.int64, "sizes": np.int64, "methods": np.int8, "links": bool, "crc32s": np.int64,
}  # fmt: skip
_DAMAGED = (EOFError, NotImplementedError, UnicodeError, ValueError, OverflowError)  # what archives in pieces raise
NOWHERE, AGAIN = "links to nowhere", "links to a folder that is there"


class FolderStore:
    """The files below a folder, each real folder entered once.

    Args:
        root: the folder.
        names: (N,) bytes, paths relative to it; by default those of all files below ``root/below``, sorted.
        below: folder in it, with the slash at its end, or nothing.
    """

    def __init__(self, root: Path, names: np.ndarray | None = None, below: bytes = b""):
        self.root = root
        self.unusable: dict[str, list[bytes]] = {NOWHERE: [], AGAIN: []}
        if names is None:
            rows = sorted(self._walk(below))  # only what is below: a walk takes minutes where there are millions
            found, files, links = zip(*rows, strict=True) if rows else ((), (), ())
            names = np.array(found, "S")
            self.files, self.links = np.array(files, np.uint64), np.array(links, bool)
        self.names = names

    def _walk(self, top: bytes) -> Iterator[tuple[bytes, int, bool]]:
        """Name, identity, and whether it is a link, of every file; links to folders are followed last."""
        root, seen = os.fsencode(self.root), set()
        folders, linked = deque([top] if os.path.isdir(os.path.join(root, top)) else ()), deque()
        while folders or linked:
            folder = folders.popleft() if folders else linked.popleft()
            status = os.stat(os.path.join(root, folder))
            if (identity := _identity(status.st_dev, status.st_ino)) in seen:
                self.unusable[AGAIN].append(folder)
                continue
            seen.add(identity)
            for entry in sorted(os.scandir(os.path.join(root, folder)), key=lambda entry: entry.name):
                name = folder + entry.name
                if entry.is_symlink():
                    found = _target(entry)
                    if found is None:
                        self.unusable[NOWHERE].append(name)
                    elif stat.S_ISDIR(found.st_mode):
                        linked.append(name + b"/")
                    elif stat.S_ISREG(found.st_mode):  # reading from a pipe or a device would never end
                        yield name, _identity(found.st_dev, found.st_ino), True
                elif entry.is_dir():
                    folders.append(name + b"/")
                elif entry.is_file():
                    yield name, _identity(status.st_dev, entry.inode()), False

    def read(self, position: int) -> bytes:
        """Return the bytes of file ``position``."""
        with open(self.path_of(position), "rb") as file:
            return file.read()

    def path_of(self, position: int) -> bytes:
        """Return where file ``position`` is."""
        return os.path.join(os.fsencode(self.root), self.names[position])


def _identity(device: int, inode: int) -> int:
    return (inode ^ device * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF  # 64 bits, the device spread over all of them


def _target(link: os.DirEntry) -> os.stat_result | None:
    """What a link leads to; None if that is not there, or the link itself."""
    try:
        return os.stat(link.path)
    except OSError:
        return None


class ArchiveStore:
    """The files of an uncompressed tar (also a tar of tars, as ImageNet comes) or of a zip.

    The archive's index is kept in the cache folder, because walking through a large tar takes minutes.

    Raises:
        InputError: the file is no such archive.
    """

    def __init__(self, path: Path):
        self.path = path.resolve()
        self._state = state_of(self.path)
        key = hashlib.sha256(f"{self.path} {self._state}".encode("utf-8", "surrogateescape"))
        folder = build_once(f"archives-v3/{key.hexdigest()[:16]}", self._write_index)
        with np.load(folder / "index.npz", allow_pickle=False) as index:
            columns = (index[name] for name in _COLUMNS)
            self.names, self.offsets, self.sizes, self.methods, self.links, self.crc32s = columns
            self.unusable = {NOWHERE: index["broken"].tolist()}
        self.files = self.offsets
        self._file: int | None = None

    def _write_index(self, folder: Path) -> None:
        try:
            files, broken = list_archive(self.path)
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, *_DAMAGED) as error:
            raise InputError(
                f"{self.path} is neither a zip nor an uncompressed tar ({error}); "
                "decompress it, or unpack it and give the folder"
            ) from error
        columns = zip(*files, strict=True) if files else [()] * len(_COLUMNS)
        arrays = {name: np.array(column, kind) for (name, kind), column in zip(_COLUMNS.items(), columns, strict=True)}
        np.savez(folder / "index.npz", broken=np.array(broken, "S"), **arrays)

    def read(self, position: int) -> bytes:
        """Return the bytes of file ``position``.

        Raises:
            InputError: the archive was replaced since its index was read, or the file in it is damaged.
        """
        if self._file is None:
            self._file = self._opened()
        try:
            data = self._bytes(position)
        except (zlib.error, struct.error, OSError) as error:
            data, reason = None, f"{type(error).__name__}: {error}"
        if data is None or self.methods[position] != IN_TAR and zlib.crc32(data) != self.crc32s[position]:
            name = readable(self.names[position])
            said = "its check sum is wrong" if data is not None else reason
            raise InputError(f"{name} in {self.path} is damaged ({said}): copy the archive again")
        return data

    def _bytes(self, position: int) -> bytes:
        offset, size, method = int(self.offsets[position]), int(self.sizes[position]), int(self.methods[position])
        if method == IN_TAR:
            return os.pread(self._file, size, offset)
        name, extra = _ZIP_HEADER.unpack(os.pread(self._file, _ZIP_HEADER.size, offset))
        data = os.pread(self._file, size, offset + _ZIP_HEADER.size + name + extra)
        return zlib.decompress(data, -zlib.MAX_WBITS) if method == DEFLATED else data

    def _opened(self) -> int:
        file = os.open(self.path, os.O_RDONLY)
        if state_of(file)[:3] != self._state[:3]:  # who may read it does not matter here
            os.close(file)
            raise InputError(f"{self.path} was replaced while it was in use: start again")
        return file

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}  # a spawned worker opens the archive itself

    def __del__(self):
        if getattr(self, "_file", None) is not None:
            os.close(self._file)

"""The files inside tars and zips: where they lie, and what links lead to."""

import posixpath
import stat
import tarfile
import zipfile
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

IN_TAR, STORED, DEFLATED = -1, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_MOST_LINKS = 40  # followed one after the other, as Linux does


class File(NamedTuple):
    """A file, or another name of it; ``offset`` is that of its header in a zip, and of its bytes in a tar.

    ``crc32`` is of its bytes, as a zip says it; tars say nothing.
    """

    name: bytes
    offset: int
    size: int  # as stored
    method: int
    is_link: bool = False
    crc32: int = 0


class _Link(NamedTuple):
    name: bytes
    target: bytes
    is_hard: bool


def list_archive(path: Path) -> tuple[list[File], list[bytes]]:
    """The files of an archive, and the names of links that lead to none, each sorted.

    A file that is packed twice counts once, as it was packed last. A hard link is a file; symbolic ones are marked.

    Raises:
        tarfile.TarError, zipfile.BadZipFile: it is neither a zip nor an uncompressed tar.
    """
    members = list((_walk_zip if zipfile.is_zipfile(path) else _walk_tar)(path))
    files = {member.name: member for member in members if isinstance(member, File)}
    links = {member.name: member for member in members if isinstance(member, _Link)}
    names = sorted(files)
    broken = []
    for link in links.values():
        found = list(_follow(link, files, names, links))
        broken += [] if found else [link.name]
        files |= {file.name: file for file in found if file.name not in files}
    return sorted(files.values()), sorted(broken)


def _follow(link: _Link, files: dict[bytes, File], names: list[bytes], links: dict[bytes, _Link]) -> Iterator[File]:
    """The file that a link leads to under the link's name, or all files of the folder."""
    target = link.target
    for _ in range(_MOST_LINKS):
        if target not in links:
            break
        target = links[target].target
    if target in files:
        yield files[target]._replace(name=link.name, is_link=not link.is_hard)
    folder = target + b"/" if target != b"." else b""
    for name in names[bisect_left(names, folder) :]:
        if not name.startswith(folder):
            break
        yield files[name]._replace(name=link.name + b"/" + name.removeprefix(folder), is_link=True)


def _clean(name: bytes) -> bytes:
    return posixpath.normpath(name).lstrip(b"/")


def _walk_zip(path: Path) -> Iterator[File | _Link]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            if entry.compress_type not in (STORED, DEFLATED) or entry.flag_bits & 1:
                raise zipfile.BadZipFile(f"{entry.filename} is encrypted or compressed by a rare method")
            name = _clean(_zip_name(entry))
            if entry.create_system == 3 and stat.S_ISLNK(entry.external_attr >> 16):  # written on Unix
                yield _Link(name, _clean(posixpath.join(posixpath.dirname(name), archive.read(entry))), False)
            else:
                yield File(name, entry.header_offset, entry.compress_size, entry.compress_type, crc32=entry.CRC)


def _zip_name(entry: zipfile.ZipInfo) -> bytes:
    """In UTF-8: Unix programs write so without saying it, and Python then takes the bytes for those of DOS."""
    if not entry.flag_bits & 0x800:
        stored = entry.orig_filename.encode("cp437", "replace")
        try:
            stored.decode()
        except UnicodeDecodeError:
            return entry.filename.encode()
        return stored
    return entry.filename.encode()


def _walk_tar(path: Path) -> Iterator[File | _Link]:
    with tarfile.open(path, "r:") as outer:
        for member in outer:
            if member.isfile() and member.name.endswith(".tar"):
                folder = _tar_name(member.name.removesuffix(".tar")) + b"/"
                with tarfile.open(fileobj=outer.extractfile(member), mode="r:") as inner:
                    for file in inner:
                        yield from _tar_member(file, folder, member.offset_data)
            else:
                yield from _tar_member(member, b"", 0)


def _tar_member(member: tarfile.TarInfo, folder: bytes, offset: int) -> Iterator[File | _Link]:
    name = _tar_name(member.name)
    if member.isfile():
        yield File(folder + name, offset + member.offset_data, member.size, IN_TAR)
    elif member.islnk():
        yield _Link(folder + name, folder + _tar_name(member.linkname), True)
    elif member.issym():
        target = posixpath.join(posixpath.dirname(name), member.linkname.encode("utf-8", "surrogateescape"))
        yield _Link(folder + name, folder + _clean(target), False)


def _tar_name(name: str) -> bytes:
    return _clean(name.encode("utf-8", "surrogateescape"))

"""ZIP files, such as a study on a CD, read where they lie: entry by entry, nothing unpacked to disk.

Limits hold before and while unpacking: number of entries, unpacked bytes, ratio, one level of ZIPs within the ZIP.
Names of entries are told in the report and are never paths.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from dicom_service.element_walk import Source
from dicom_service.part10 import PREAMBLE_LENGTH, BytesSource
from dicom_service.uploads.settings import MIB

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
# Below this an entry is held in memory whole; above, it is unpacked twice: once to check it, once to send it.
SMALL_ENTRY = 8 * MIB
# The central directory is read in one piece: 46 bytes an entry at least.
_LARGEST_DIRECTORY = 4 * MIB
_RATIO_COUNTS_FROM = 64 * MIB
_LONGEST_NAME = 300
_ENCRYPTED = 0x1
_EMPTY_ZIP = 22
_CHUNK = MIB


class ArchiveRefused(Exception):
    """The ZIP, or one entry of it, is not read; `reason` is a stable code, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Limits:
    """How much a ZIP may hold."""

    entries: int = 20_000
    unpacked: int = 20 * 1024 * MIB
    ratio: int = 200


@dataclass
class _Budget:
    """What is left of the limits for a ZIP and the ZIPs within it."""

    limits: Limits
    packed: int
    entries: int = 0
    unpacked: int = 0

    def take(self, infos: list[zipfile.ZipInfo]) -> None:
        self.entries += len(infos)
        self.unpacked += sum(info.file_size for info in infos)
        if self.entries > self.limits.entries:
            raise ArchiveRefused("ZIP_TOO_MANY_ENTRIES", f"A ZIP may hold {self.limits.entries} entries.")
        ratio = self.unpacked > _RATIO_COUNTS_FROM and self.unpacked > self.limits.ratio * self.packed
        if ratio or self.unpacked > self.limits.unpacked:
            raise ArchiveRefused("ZIP_BOMB", "The ZIP unpacks to more than is taken.")


@dataclass(frozen=True)
class Entry:
    """One file of a ZIP.

    Parameters
    ----------
    number
        Its place among all entries, those of ZIPs within counted; the same whenever the ZIP is read.
    name
        As the ZIP spells it.
    size
        Bytes once unpacked.
    """

    number: int
    name: str
    size: int
    refused: ArchiveRefused | None = None
    _archive: zipfile.ZipFile | None = field(default=None, repr=False)
    _info: zipfile.ZipInfo | None = field(default=None, repr=False)

    def stream(self) -> Iterator[bytes]:
        """Yield the unpacked bytes in pieces of 1 MiB.

        Raises
        ------
        ArchiveRefused
            They are damaged, encrypted, packed in a way that is not known, or fewer than the ZIP says.
        """
        with self._open() as file:
            given = 0
            while chunk := _read(file, _CHUNK):
                given += len(chunk)
                yield chunk
            if given != self.size:
                raise ArchiveRefused("ZIP_DAMAGED", "The entry is not as long as the ZIP says.")

    def _open(self) -> IO[bytes]:
        if self._archive is None or self._info is None:
            raise ArchiveRefused("ZIP_DAMAGED", "The entry cannot be read.")
        return _open(self._archive, self._info)

    def source(self) -> "EntrySource | BytesSource":
        """Give the entry as a source for its header.

        Raises
        ------
        ArchiveRefused
            As `stream`.
        """
        if self.size <= SMALL_ENTRY:
            return BytesSource(b"".join(self.stream()))
        return EntrySource(self._open(), self.size)


class EntrySource:
    """A large entry, read forward; what lies behind is gone.

    Parameters
    ----------
    file
        The unpacked bytes.
    size
        How many the ZIP says there are.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Give up to `length` bytes from `offset`."""
        try:
            while (skip := offset - self._file.tell()) > 0:
                if not self._file.read(min(skip, _CHUNK)):
                    return b""
            if skip < 0:
                self._file.seek(offset)
            return self._file.read(min(length, max(0, self.size - offset)))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ArchiveRefused("ZIP_DAMAGED", "The entry is damaged.") from error

    def finish(self) -> None:
        """Read to the end, where the ZIP's checksum is compared.

        Raises
        ------
        ArchiveRefused
            It does not match.
        """
        while _read(self._file, _CHUNK):
            pass
        if self._file.tell() != self.size:
            raise ArchiveRefused("ZIP_DAMAGED", "The entry is not as long as the ZIP says.")


def looks_like_zip(source: Source) -> bool:
    """Tell whether this is a ZIP: by its first bytes, unless it is a DICOM file that pretends (PS3.10 §7.1)."""
    return source.read(0, 4) in ZIP_MAGIC and source.read(PREAMBLE_LENGTH, 4) != b"DICM"


def walk(source: Source, limits: Limits, *, first: int = 0) -> Iterator[Entry]:
    """Yield the entries of a ZIP, and of ZIPs in it, in the order in which they lie there; folders are left out.

    An entry is to be read before the next is asked for.

    Parameters
    ----------
    source
        The ZIP.
    limits
        How much it may hold.
    first
        Number of the first entry to give; those before are passed over unread.

    Raises
    ------
    ArchiveRefused
        It is damaged or holds too much; raised before the first entry.
    """
    number = 0
    budget = _Budget(limits, max(source.size, 1))
    with _archive(source, budget) as archive:
        for info in _files(archive):
            for entry in _with_nested(archive, info, number, budget):
                number += 1
                if entry.number >= first:
                    yield entry


def _with_nested(archive: zipfile.ZipFile, info: zipfile.ZipInfo, number: int, budget: _Budget) -> Iterator[Entry]:
    refused, inner = None, None
    try:
        if _begins_like_zip(archive, info):
            inner = _nested(archive, info, budget)
    except ArchiveRefused as error:
        refused = error
    if inner is None:
        yield Entry(number, info.filename[:_LONGEST_NAME], info.file_size, refused, archive, info)
        return
    with inner:
        for place, nested in enumerate(_files(inner)):
            name = f"{info.filename}/{nested.filename}"[-_LONGEST_NAME:]
            yield Entry(number + place, name, nested.file_size, _too_deep(inner, nested), inner, nested)


def _too_deep(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArchiveRefused | None:
    try:
        if _begins_like_zip(archive, info):
            return ArchiveRefused("ZIP_NESTED", "A ZIP in a ZIP in a ZIP is not read.")
    except ArchiveRefused as error:
        return error
    return None


def _files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.header_offset)


def _archive(source: Source, budget: _Budget) -> zipfile.ZipFile:
    return _open_archive(_File(source), budget)


def _nested(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> zipfile.ZipFile:
    if info.file_size <= SMALL_ENTRY:
        return _open_archive(_File(BytesSource(_read(_open(archive, info), info.file_size))), budget)
    # Unpacked again where the reader has to go back: rare, and cheaper than to hold it.
    return _open_archive(_File(EntrySource(_open(archive, info), info.file_size)), budget)


def _open_archive(file: "_File", budget: _Budget) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(file)
    except _DirectoryTooLarge as error:
        raise ArchiveRefused("ZIP_TOO_MANY_ENTRIES", "The ZIP's table of contents is too long.") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ArchiveRefused("ZIP_DAMAGED", "The ZIP is damaged or cut off.") from error
    file.opened = True
    budget.take(archive.infolist())
    return archive


def _begins_like_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    if info.file_size < _EMPTY_ZIP:
        return False
    with _open(archive, info) as file:
        head = _read(file, PREAMBLE_LENGTH + 4)
    return head[:4] in ZIP_MAGIC and head[PREAMBLE_LENGTH:] != b"DICM"


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveRefused("ZIP_ENCRYPTED", "The entry is encrypted.")
    try:
        return archive.open(info)
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
        raise ArchiveRefused("ZIP_DAMAGED", "The entry is damaged or packed in a way that is not known.") from error


def _read(file: IO[bytes], length: int) -> bytes:
    try:
        return file.read(length)
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
        raise ArchiveRefused("ZIP_DAMAGED", "The entry is damaged.") from error


class _DirectoryTooLarge(Exception):
    """The table of contents would not fit into memory."""


class _File(io.RawIOBase):
    """A source as the seekable file that `zipfile` reads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0
        self.opened = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        length = self._source.size - self._position if size < 0 else size
        if not self.opened and min(length, self._source.size - self._position) > _LARGEST_DIRECTORY:
            raise _DirectoryTooLarge("the table of contents is too long")
        data = self._source.read(self._position, max(0, length))
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

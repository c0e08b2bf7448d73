"""ZIP files, such as a study on a CD, read where they lie: entry by entry, in one pass.

A ZIP in the ZIP, and an entry that is too large for memory, is unpacked once into a file of bounded size. Limits hold
before and while unpacking: number of entries, unpacked bytes, ratio, work, one level of ZIPs within the ZIP. Names of
entries appear in the report and are never paths.
"""

import io
import struct
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from dicom_service.element_walk import Source
from dicom_service.ingest.unpack import DiskSpace, Spool, Work, ZipRejected, damaged, unpack
from dicom_service.part10 import PREAMBLE_LENGTH, BytesSource
from dicom_service.settings import MIB

__all__ = ["SMALL_ENTRY", "Entry", "Limits", "ZipRejected", "looks_like_zip", "walk"]

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
# Below this an entry is held in memory whole; above, in a file.
SMALL_ENTRY = 8 * MIB
# The central directory is read in one piece: 46 bytes an entry at least.
_LARGEST_DIRECTORY = 4 * MIB
# The end record with the longest comment, and the locator before it.
_TAIL = 22 + 65_535 + 20
_RATIO_COUNTS_FROM = 64 * MIB
_LONGEST_NAME = 300
_EMPTY_ZIP = 22
_HEAD = PREAMBLE_LENGTH + 4
# What `zipfile` makes of a table of contents that is none.
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, struct.error)


@dataclass(frozen=True)
class Limits:
    """How much a ZIP may hold, and how much disk its unpacking may take."""

    entries: int = 20_000
    unpacked: int = 20 * 1024 * MIB
    ratio: int = 200
    spool: int = 9 * 1024 * MIB


@dataclass
class _Budget:
    """What is left of the limits for a ZIP and the ZIPs within it."""

    limits: Limits
    packed: int
    work: Work
    space: DiskSpace
    entries: int = 0
    unpacked: int = 0

    def check(self) -> None:
        if self.entries > self.limits.entries:
            raise ZipRejected("ZIP_TOO_MANY_ENTRIES", f"A ZIP may hold {self.limits.entries} entries.")
        ratio = self.unpacked > _RATIO_COUNTS_FROM and self.unpacked > self.limits.ratio * self.packed
        if ratio or self.unpacked > self.limits.unpacked:
            raise ZipRejected("ZIP_BOMB", "The ZIP unpacks to more than is taken.")

    def take(self, size: int, infos: list[zipfile.ZipInfo]) -> None:
        self.entries += len(infos)
        unpacked = sum(info.file_size for info in infos)
        self.unpacked += unpacked
        self.work.packed += size
        self.work.unpacked += unpacked
        self.check()


@dataclass
class _Archive:
    """A ZIP whose table of contents was read."""

    source: Source
    infos: list[zipfile.ZipInfo]
    budget: _Budget

    def spooled(self, info: zipfile.ZipInfo, content: bytes | None) -> Spool:
        pieces = unpack(self.source, info, self.budget.work) if content is None else iter((content,))
        return Spool(pieces, info.file_size, self.budget.space, in_memory=SMALL_ENTRY)

    def content(self, info: zipfile.ZipInfo) -> bytes | None:
        """Return an entry that is held in memory; None for one that is too large."""
        if info.file_size > SMALL_ENTRY:
            return None
        # Up to a megabyte as packed it is one piece, which is not copied.
        return b"".join(unpack(self.source, info, self.budget.work, piece=SMALL_ENTRY))

    def head(self, info: zipfile.ZipInfo) -> bytes:
        """Return an entry's beginning, by which a ZIP is told."""
        head = b""
        with closing(unpack(self.source, info, self.budget.work, piece=_HEAD)) as pieces:
            while len(head) < min(_HEAD, info.file_size):
                head += next(pieces)
        return head


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
    error
        Why it cannot be read; None where it may be.
    """

    number: int
    name: str
    size: int
    error: ZipRejected | None = None
    _archive: _Archive | None = field(default=None, repr=False)
    _info: zipfile.ZipInfo | None = field(default=None, repr=False)
    _content: bytes | None = field(default=None, repr=False)
    _open: list[Spool] = field(default_factory=list, repr=False)

    def source(self) -> BytesSource | Spool:
        """Return the entry: in memory if it is small, else unpacked, once, into a file until the next entry.

        Raises
        ------
        ZipRejected
            It is damaged, encrypted, packed in a way that is not known, or other than the ZIP says. Of a small entry
            that is known before, and in `error`.
        StorageError
            There is no space for it now.
        """
        if self._archive is None or self._info is None:
            raise damaged("The entry cannot be read.")
        if self._content is not None:
            return BytesSource(self._content)
        self._open.append(self._archive.spooled(self._info, None))
        return self._open[-1]

    def close(self) -> None:
        """Free the disk that it took."""
        for spool in self._open:
            spool.close()


def looks_like_zip(source: Source) -> bool:
    """Return whether this is a ZIP by its first bytes, and no DICOM file that pretends to be one (PS3.10 §7.1)."""
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
        Number of the first entry to yield; of those before, the beginning is read, which tells a ZIP.
    """
    number = 0
    budget = _Budget(limits, max(source.size, 1), Work(), DiskSpace(limits.spool))
    archive = _opened(source, budget)
    for info in archive.infos:
        with closing(_with_nested(archive, info, number, first)) as entries:
            for entry in entries:
                number += 1
                if entry.number >= first:
                    with closing(entry):
                        yield entry


def _with_nested(archive: _Archive, info: zipfile.ZipInfo, number: int, first: int) -> Generator[Entry]:
    """Yield an entry, or those of the ZIP that it is; before the first that is wanted, without their content."""
    try:
        # To tell a ZIP by its beginning and then unpack it again cost as much as unpacking a small file.
        content = archive.content(info) if number >= first else None
        is_zip = _begins_like_zip(archive.head(info) if content is None else content)
        spool = archive.spooled(info, content) if is_zip else None
    except ZipRejected as error:
        yield Entry(number, info.filename[:_LONGEST_NAME], info.file_size, error)
        return
    if spool is None:
        yield Entry(number, info.filename[:_LONGEST_NAME], info.file_size, None, archive, info, content)
        return
    content = None  # The spool has it.
    with closing(spool):
        try:
            inner = _opened(spool, archive.budget)
        except ZipRejected as error:
            yield Entry(number, info.filename[:_LONGEST_NAME], info.file_size, error)
            return
        for place, nested in enumerate(inner.infos, start=number):
            name = f"{info.filename}/{nested.filename}"[-_LONGEST_NAME:]
            yield _nested(inner, nested, place, name) if place >= first else Entry(place, name, nested.file_size)


def _nested(archive: _Archive, info: zipfile.ZipInfo, number: int, name: str) -> Entry:
    try:
        content = archive.content(info)
        if _begins_like_zip(archive.head(info) if content is None else content):
            raise ZipRejected("ZIP_NESTED", "A ZIP in a ZIP in a ZIP is not read.")
    except ZipRejected as error:
        return Entry(number, name, info.file_size, error)
    return Entry(number, name, info.file_size, None, archive, info, content)


def _begins_like_zip(content: bytes) -> bool:
    """Return whether this is the beginning of a ZIP, and of no DICOM file that pretends to be one (PS3.10 §7.1)."""
    return len(content) >= _EMPTY_ZIP and content[:4] in ZIP_MAGIC and content[PREAMBLE_LENGTH:_HEAD] != b"DICM"


def _opened(source: Source, budget: _Budget) -> _Archive:
    budget.check()
    # Brings the end record and what `zipfile` looks for before it, often the whole directory, by one request to S3.
    source.read(max(0, source.size - _TAIL), _TAIL)
    try:
        with zipfile.ZipFile(_File(source)) as archive:
            infos = archive.infolist()
    except _DirectoryTooLarge as error:
        raise ZipRejected("ZIP_TOO_MANY_ENTRIES", "The ZIP's table of contents is too long.") from error
    except _DAMAGED as error:
        raise damaged("The ZIP is damaged or cut off.") from error
    budget.take(source.size, infos)
    files = sorted((info for info in infos if not info.is_dir()), key=lambda info: info.header_offset)
    return _Archive(source, files, budget)


class _DirectoryTooLarge(Exception):
    """The table of contents would not fit into memory."""


class _File(io.RawIOBase):
    """A source as the seekable file that `zipfile` reads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

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
        if min(length, self._source.size - self._position) > _LARGEST_DIRECTORY:
            raise _DirectoryTooLarge("the table of contents is too long")
        data = self._source.read(self._position, max(0, length))
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

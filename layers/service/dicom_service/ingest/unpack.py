"""Unpacks an entry of a ZIP in one pass and in pieces, a large one into a file, so that none is unpacked twice.

What a decoder makes of damaged or hostile bytes is an error of the entry (`ZipRejected`), never of the service, and
no piece is longer than was asked for: a few bytes of BZIP2 or LZMA can stand for gigabytes.
"""

import bz2
import lzma
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from dicom_service.element_walk import Source, StorageError
from dicom_service.settings import MIB

CHUNK = MIB
# Packed bytes are read in such pieces; a decoder keeps what it has not used yet.
_PACKED = MIB
_LITTLE = 4096
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _PATCHED, _STRONG, _UTF8 = 0x1, 0x20, 0x40, 0x800
_ALLOWANCE = 16 * MIB
_LARGEST_DICTIONARY = 64 * MIB
_DAMAGED = (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, struct.error)


class ZipRejected(Exception):
    """The ZIP, or one entry of it, is not read; `reason` is a stable code, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def damaged(detail: str = "The entry is damaged.") -> ZipRejected:
    """Return the error for bytes that are not as the ZIP says."""
    return ZipRejected("ZIP_DAMAGED", detail)


@dataclass
class Work:
    """What unpacking may cost: bytes read and bytes made, in proportion to what the ZIPs are and say that they hold.

    A small entry is unpacked once, a large one also looked at, so an honest ZIP stays far below; one whose entries
    share their bytes, or stand for nothing, does not.

    Parameters
    ----------
    packed
        Bytes of the ZIP and of the ZIPs in it that were opened.
    unpacked
        Bytes that their entries hold, as they say.
    """

    packed: int = 0
    unpacked: int = 0
    read: int = 0
    made: int = 0

    def add(self, *, read: int = 0, made: int = 0) -> None:
        """Count work that was done."""
        self.read += read
        self.made += made
        self.check()

    def check(self) -> None:
        """Reject further work where enough was done."""
        if self.read > 2 * self.packed + _ALLOWANCE or self.made > 2 * self.unpacked + _ALLOWANCE:
            raise ZipRejected("ZIP_BOMB", "The ZIP takes more work than its size is worth.")


class _Decoder(Protocol):
    """A decoder of packed bytes."""

    @property
    def eof(self) -> bool:
        """Whether its stream has ended."""

    def decode(self, data: bytes, most: int) -> bytes:
        """Return at most so many bytes; packed bytes that are not used yet are kept."""

    @property
    def hungry(self) -> bool:
        """Whether it wants more packed bytes."""


class _Stored:
    eof = False

    def __init__(self) -> None:
        self._kept = b""

    @property
    def hungry(self) -> bool:
        return not self._kept

    def decode(self, data: bytes, most: int) -> bytes:
        data = self._kept + data if self._kept else data
        self._kept = data[most:]
        return data[:most] if self._kept else data


class _Deflate:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def hungry(self) -> bool:
        return not self._inner.unconsumed_tail

    def decode(self, data: bytes, most: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, most)


class _Block:
    """BZIP2 and LZMA, whose decoders keep what they have not used."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def hungry(self) -> bool:
        return bool(self._inner.needs_input)

    def decode(self, data: bytes, most: int) -> bytes:
        unpacked: bytes = self._inner.decompress(data, most)
        return unpacked


class _Lzma(_Block):
    """LZMA as ZIPs carry it: version, length of the properties, properties, stream (APPNOTE.TXT 5.8.8)."""

    def __init__(self) -> None:
        super().__init__(None)
        self._head = b""

    @property
    def eof(self) -> bool:
        return self._inner is not None and super().eof

    @property
    def hungry(self) -> bool:
        return self._inner is None or super().hungry

    def decode(self, data: bytes, most: int) -> bytes:
        if self._inner is not None:
            return super().decode(data, most)
        self._head += data
        if len(self._head) < 4:
            return b""
        length = int.from_bytes(self._head[2:4], "little")
        if length != 5:
            raise ValueError("LZMA has five bytes of properties")
        if len(self._head) < 4 + length:
            return b""
        properties, dictionary = self._head[4], int.from_bytes(self._head[5:9], "little")
        lc, rest = properties % 9, properties // 9
        # A dictionary is memory: what is made here is small enough.
        options = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": rest % 5, "pb": rest // 5}
        options["dict_size"] = min(max(dictionary, 4096), _LARGEST_DICTIONARY)
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])
        first, self._head = self._head[4 + length :], b""
        return super().decode(first, most)


_DECODERS: dict[int, Callable[[], _Decoder]] = {
    zipfile.ZIP_STORED: _Stored,
    zipfile.ZIP_DEFLATED: _Deflate,
    zipfile.ZIP_BZIP2: lambda: _Block(bz2.BZ2Decompressor()),
    zipfile.ZIP_LZMA: _Lzma,
}


def unpack(source: Source, info: zipfile.ZipInfo, work: Work, *, piece: int = CHUNK) -> Generator[bytes]:
    """Yield an entry's bytes in pieces, and check in the end that they are those that were packed.

    Parameters
    ----------
    source
        The ZIP.
    info
        What its table of contents says of the entry.
    work
        Where the work is counted.
    piece
        Most bytes at once.

    Raises
    ------
    ZipRejected
        The entry is damaged, encrypted, packed in a way that is not known, or takes too much work.
    """
    work.check()
    if info.flag_bits & (_ENCRYPTED | _STRONG):
        raise ZipRejected("ZIP_ENCRYPTED", "The entry is encrypted.")
    if info.flag_bits & _PATCHED or info.compress_type not in _DECODERS:
        raise damaged("The entry is packed in a way that is not known.")
    decoder = _DECODERS[info.compress_type]()
    packed = _packed(source, info, work, piece)
    given = checksum = 0
    while given < info.file_size and not decoder.eof:
        hungry = decoder.hungry
        data = next(packed, b"") if hungry else b""
        try:
            out = decoder.decode(data, min(piece, info.file_size - given))
        except _DAMAGED as error:
            raise damaged() from error
        if hungry and not data and not out:
            break
        if out:
            given += len(out)
            checksum = zlib.crc32(out, checksum)
            work.add(made=len(out))
            yield out
    if given != info.file_size:
        raise damaged("The entry is not as long as the ZIP says.")
    if checksum != info.CRC:
        raise damaged("The entry does not have the checksum that the ZIP says.")


def _packed(source: Source, info: zipfile.ZipInfo, work: Work, piece: int) -> Iterator[bytes]:
    """Yield the packed bytes that lie behind an entry's own header."""
    head = source.read(info.header_offset, _LOCAL_HEADER.size) if info.header_offset >= 0 else b""
    if len(head) < _LOCAL_HEADER.size:
        raise damaged("The entry lies outside of the ZIP.")
    fields = _LOCAL_HEADER.unpack(head)
    name_length, extra_length = fields[9:11]
    start = info.header_offset + _LOCAL_HEADER.size
    name = source.read(start, name_length)
    if fields[0] != b"PK\3\4" or name != info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437"):
        raise damaged("The entry's own header is another than the ZIP's table of contents says.")
    position = start + name_length + extra_length
    left = info.compress_size
    # Little is read where little is wanted: whether a large entry is a ZIP shows in its first bytes.
    length = min(_PACKED, max(piece, _LITTLE))
    while left > 0:
        data = source.read(position, min(length, left))
        if not data:
            raise damaged("The entry is cut off.")
        position, left, length = position + len(data), left - len(data), _PACKED
        work.add(read=len(data))
        yield data


class DiskSpace:
    """The disk that unpacked entries may take at a time.

    Parameters
    ----------
    size
        Bytes.
    """

    def __init__(self, size: int) -> None:
        self.left = size


class Spool:
    """Unpacked bytes that can be read anywhere: in memory where they are few, else in a file without a name.

    Parameters
    ----------
    pieces
        The bytes.
    size
        How many there are.
    space
        The disk that may be used.
    in_memory
        Up to how many bytes stay in memory.

    Raises
    ------
    ZipRejected
        They cannot be unpacked, or need more than the whole space.
    StorageError
        The disk is full.
    """

    def __init__(self, pieces: Iterator[bytes], size: int, space: DiskSpace, *, in_memory: int) -> None:
        self.size = size
        self._space = space
        self._taken = size if size > in_memory else 0
        if self._taken > space.left:
            raise ZipRejected("ZIP_BOMB", "A file in the ZIP is larger than can be unpacked.")
        space.left -= self._taken
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            for piece in pieces:
                self._write(piece)
            on_failure.pop_all()

    def _write(self, piece: bytes) -> None:
        try:
            self._file.write(piece)
        except OSError as error:
            raise StorageError("no space to unpack") from error

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end."""
        self._file.seek(offset, os.SEEK_SET)
        return self._file.read(max(0, length))

    def stream(self) -> Iterator[bytes]:
        """Yield all bytes in pieces of 1 MiB."""
        for offset in range(0, self.size, CHUNK):
            yield self.read(offset, CHUNK)

    def close(self) -> None:
        """Free the disk; closing again is harmless."""
        self._file.close()
        self._space.left, self._taken = self._space.left + self._taken, 0

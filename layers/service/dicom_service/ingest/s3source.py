"""A staged object as bytes: ranged reads for its header, one stream for its body, both bound to one version."""

import hashlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from dicom_service.element_walk import StorageError
from dicom_service.ingest.ranges import CHUNK, Body, BrokenOff, RangedObject
from dicom_service.settings import MIB
from dicom_service.uploads.staged_object import StagedObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The first read brings a whole CT slice: a small file costs one request.
FIRST_BLOCK = MIB
_NEXT_BLOCK = 64 * 1024
_LARGEST_BLOCK = 4 * MIB
# A reader that goes straight on for so long gets one body for the rest; gaps up to this are read and dropped.
_STRAIGHT_ON = 2 * MIB
_KEPT_BLOCKS = 2
_RESUMES = 4


class S3Source:
    """Reads one version of a staged object (a `dicom_service.element_walk.Source`).

    Blocks that were read are kept for as long as they may be needed, and grow while the reader goes straight on, so
    that a header costs one or two requests and a file of many fragments not one for each. A reader that goes on for
    longer, through a ZIP for example, gets one body that is kept open and read forward: the store sends while the
    reader is at work. A store that ignores ranges is read like that from the start.

    Parameters
    ----------
    client
        The S3 client.
    staged
        The object; reads fail once its ETag is another.
    """

    def __init__(self, client: "S3Client", staged: StagedObject) -> None:
        self._staged = staged
        self._object = RangedObject(client, staged)
        self._blocks: list[tuple[int, bytes]] = []
        self._next_size = FIRST_BLOCK
        self._forward: Body | None = None
        self._all_expected = False

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._staged.size

    @property
    def version_id(self) -> str | None:
        """The version that the reads are bound to, once something was read."""
        return self._object.version_id

    @property
    def requests(self) -> int:
        """How many requests were sent to S3."""
        return self._object.requests

    def whole(self) -> bytes | None:
        """Return the whole object if it is in memory already."""
        for start, block in self._blocks:
            if start == 0 and len(block) == self.size:
                return block
        return None

    def sha256(self) -> str:
        """Return the digest of the object, in hexadecimal digits."""
        digest = hashlib.sha256()
        self.read(0, min(1, self.size))
        self._close()
        whole = self.whole()
        for chunk in (whole,) if whole is not None else self.stream():
            digest.update(chunk)
        return digest.hexdigest()

    def forget(self) -> None:
        """Drop the blocks that are kept, and the body that is open."""
        self._blocks.clear()
        self._close()

    def expect_all(self, expected: bool = True) -> None:
        """Have the next reads take one body to the end: nearly all of the object will be read, and in order.

        A read of its end before the rest, such as a ZIP's directory, leaves that body where it is.
        """
        self._all_expected = expected

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        if not self._blocks and end <= FIRST_BLOCK:
            # The first block is the object's beginning, so that a small object is whole from then on.
            self._load(0, FIRST_BLOCK)
        pieces = []
        while offset < end:
            # A read that crosses the end of a block goes on behind it: what is kept is not fetched again.
            piece = self._kept(offset, end)
            if not piece:
                self._load(offset, end - offset)
                piece = self._kept(offset, end)
            pieces.append(piece)
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _kept(self, offset: int, end: int) -> bytes:
        for start, block in self._blocks:
            if start <= offset < start + len(block):
                return block[offset - start : end - start]
        return b""

    def _load(self, start: int, length: int) -> None:
        stop = min(start + max(length, self._block_size(start)), self.size)
        self._blocks = [*self._blocks[-(_KEPT_BLOCKS - 1) :], (start, self._fetch(start, stop))]

    def _block_size(self, offset: int) -> int:
        if not self._blocks:
            return self._next_size
        if self._all_expected:
            return MIB
        start, block = self._blocks[-1]
        straight_on = 0 <= offset - (start + len(block)) <= len(block)
        self._next_size = min(self._next_size * 2, _LARGEST_BLOCK) if straight_on else _NEXT_BLOCK
        return self._next_size

    def _close(self) -> None:
        if self._forward:
            self._forward.close()
            self._forward = None

    def _fetch(self, start: int, stop: int) -> bytes:
        forward = self._forward
        if forward and stop == self.size and self._all_expected and not self._leads_to(forward, start):
            # Nothing lies behind it that another body could bring.
            return b"".join(self._pieces(start, stop))
        # A small file comes in one piece, which is not copied.
        pieces: list[bytes] = []
        position, breaks = start, 0
        while position < stop:
            body, self._forward = self._forward, None
            if body and not self._leads_to(body, position):
                body.close()
                body = None
            try:
                body = body or self._object.open(position, self._reach(stop))
                body.skip_to(position)
                while (left := stop - body.position) > 0:
                    pieces.append(body.read(min(CHUNK, left)))
                    position = body.position
            except BrokenOff as error:
                breaks = _count(breaks, error)
            finally:
                self._forward = _reusable(body, stop)
        return b"".join(pieces)

    def _leads_to(self, body: Body, position: int) -> bool:
        """Whether a body is worth reading on up to there: one of another range is cheaper than a long gap."""
        gap = position - body.position
        return gap >= 0 and (gap <= _STRAIGHT_ON or self._object.whole)

    def _reach(self, stop: int) -> int:
        return self.size if self._all_expected or self._next_size > _STRAIGHT_ON else stop

    def stream(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to `end` in pieces of up to 1 MiB, going on where a connection broke.

        The next piece is read while the caller is at work with the last one.
        """
        stop = self.size if end is None else end
        pieces = self._pieces(start, stop)
        return read_ahead(pieces) if stop - start > CHUNK else pieces

    def _pieces(self, start: int, stop: int) -> Generator[bytes, None, None]:
        breaks = 0
        while start < stop:
            body = None
            try:
                body = self._object.open(start, stop)
                while start < stop:
                    chunk = body.read(min(CHUNK, stop - start))
                    start += len(chunk)
                    yield chunk
            except BrokenOff as error:
                breaks = _count(breaks, error)
            finally:
                if body:
                    body.close()


def read_ahead(pieces: Generator[bytes, None, None]) -> Iterator[bytes]:
    """Yield pieces, the next one being made meanwhile: two are in memory, and no more."""
    with closing(pieces), ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, pieces, b"")
        while piece := coming.result():
            coming = reader.submit(next, pieces, b"")
            yield piece


def _count(breaks: int, error: BrokenOff) -> int:
    if breaks >= _RESUMES:
        raise StorageError("S3 breaks off") from error
    return breaks + 1


def _reusable(body: Body | None, stop: int) -> Body | None:
    """Return a body that has been read to `stop` and goes on behind it; any other is closed."""
    if body and body.position == stop < body.end:
        return body
    if body:
        body.close()
    return None

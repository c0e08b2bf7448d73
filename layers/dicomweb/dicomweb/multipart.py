"""multipart/related in both directions, with bounded memory (RFC 2387, PS3.18 section 8.6.1.2)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from email.message import Message

from dicomweb.body import Body
from dicomweb.errors import PacsFault, PacsUnreachable

_MAX_HEADER = 16 * 1024
_MAX_PADDING = 256


def media_type_parameter(content_type: str, name: str) -> str | None:
    """Read a parameter of a media type, quoted or not.

    Parameters
    ----------
    content_type
        Value of a Content-Type header.
    name
        The parameter, for example ``boundary`` or ``transfer-syntax``.
    """
    header = Message()
    header["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    found = header.get_param(name)
    return found.strip() or None if isinstance(found, str) else None


def media_type(content_type: str) -> str:
    """Return the media type in lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


class MultipartReader:
    """Reads the parts of a multipart body one after the other as its bytes arrive.

    Parameters
    ----------
    chunks
        The body.
    content_type
        The Content-Type of the answer, with the boundary.

    Raises
    ------
    PacsFault
        There is no boundary.
    """

    def __init__(self, chunks: Iterator[bytes], content_type: str) -> None:
        boundary = media_type_parameter(content_type, "boundary")
        if not boundary:
            raise PacsFault("the multipart answer names no boundary")
        self._chunks = chunks
        self._delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
        # The first boundary may stand at the very beginning, where no line end precedes it.
        self._buffer = b"\r\n"
        # What was read of the buffer is passed over, not cut off: a copy of a frame takes longer than finding its end.
        self._at = 0
        self._skip = 2
        self._in_part = True
        self._ended = False

    def next_part(self) -> dict[str, str] | None:
        """Go to the next part and return its headers, names in lower case; None after the last.

        Raises
        ------
        PacsUnreachable
            The body ends before its closing boundary.
        PacsFault
            The header of the part has no end.
        """
        if self._in_part:
            for _ in self.iter_part():
                pass
        if self._ended:
            return None
        while (end := self._buffer.find(b"\r\n\r\n", self._at)) < 0:
            if len(self._buffer) - self._at > _MAX_HEADER:
                raise PacsFault("a part of the multipart answer has an endless header")
            self._add()
        lines = self._buffer[self._at : end].decode("latin-1").split("\r\n")
        # The line end before the next boundary may be the one that closes the header.
        self._at = end + 2
        self._skip = 2
        self._in_part = True
        return {name.strip().lower(): text.strip() for name, _, text in (line.partition(":") for line in lines) if name}

    def iter_part(self) -> Iterator[bytes]:
        """Yield the bytes of the current part."""
        held_back = len(self._delimiter) - 1
        while self._in_part:
            data, start = self._buffer, self._at + self._skip
            at, behind = self._find(data, self._at)
            safe = at if at >= 0 else max(len(data) - held_back, 0)
            if behind is not None:
                self._at, self._ended = behind
                self._in_part = False
            elif safe > start:
                self._at, self._skip = safe, 0
            else:
                self._add()
            if safe > start:
                yield data[start:safe]

    def finish(self, at_most: int) -> None:
        """Read what follows the closing boundary, so that the connection can be used again.

        Parameters
        ----------
        at_most
            Most bytes to read.
        """
        read = 0
        while self._ended and read <= at_most and (chunk := next(self._chunks, b"")):
            read += len(chunk)

    def _find(self, data: bytes, start: int) -> tuple[int, tuple[int, bool] | None]:
        """Find the delimiter and where to read on behind it; the latter None while too little has arrived.

        Behind a delimiter, reading goes on at the end of its line: a part without headers begins with an empty line.
        The flag is set behind the closing one.
        """
        at = data.find(self._delimiter, start)
        while at >= 0:
            end = at + len(self._delimiter)
            rest = data[end : end + _MAX_PADDING]
            if rest.startswith(b"--"):
                return at, (len(data), True)
            line_end = rest.lstrip(b" \t")
            if line_end.startswith(b"\r\n"):
                return at, (end + len(rest) - len(line_end), False)
            if line_end in (b"", b"\r", b"-") and len(rest) < _MAX_PADDING:
                return at, None
            # Another boundary that only begins like ours.
            at = data.find(self._delimiter, at + 1)
        return -1, None

    def _add(self) -> None:
        chunk = next(self._chunks, b"")
        if not chunk:
            raise PacsUnreachable("the answer ended before its closing boundary")
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0


def related_body(
    parts: Sequence[tuple[int, Callable[[], Iterator[bytes]]]], part_type: str = "application/dicom"
) -> Body:
    """Make a multipart/related body of known length that can be sent more than once.

    Parameters
    ----------
    parts
        For each part its length in bytes and what opens it.
    part_type
        Media type of every part.
    """
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: {part_type}\r\n\r\n".encode()
    tail = f"--{boundary}--\r\n".encode()

    def read() -> Iterator[bytes]:
        for _, open_part in parts:
            yield head
            yield from open_part()
            yield b"\r\n"
        yield tail

    length = sum(len(head) + size + 2 for size, _ in parts) + len(tail)
    return Body(f'multipart/related; type="{part_type}"; boundary={boundary}', length, read)

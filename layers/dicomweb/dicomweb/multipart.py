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
        # A part without headers begins with the empty line itself.
        self._buffer = b"\r\n" + self._buffer
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MAX_HEADER:
                raise PacsFault("a part of the multipart answer has an endless header")
            self._buffer += self._more()
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        # The line end before the next boundary may be the one that closes the header.
        self._buffer = self._buffer[end + 2 :]
        self._skip = 2
        self._in_part = True
        return {name.strip().lower(): text.strip() for name, _, text in (line.partition(":") for line in lines) if name}

    def iter_part(self) -> Iterator[bytes]:
        """Yield the bytes of the current part."""
        held_back = len(self._delimiter) - 1
        while self._in_part:
            data, skip = self._buffer, self._skip
            at, after = self._find(data)
            safe = at if at >= 0 else max(len(data) - held_back, 0)
            if after is not None:
                self._buffer, self._ended = after
                self._in_part = False
            elif safe > skip:
                self._buffer, self._skip = data[safe:], 0
            else:
                self._buffer = data + self._more()
            if safe > skip:
                yield data[skip:safe]

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

    def _find(self, data: bytes) -> tuple[int, tuple[bytes, bool] | None]:
        """Find the delimiter: where it is, and what follows it; the latter None while too little has arrived."""
        at = data.find(self._delimiter)
        while at >= 0:
            rest = data[at + len(self._delimiter) : at + len(self._delimiter) + _MAX_PADDING]
            if rest.startswith(b"--"):
                return at, (b"", True)
            line_end = rest.lstrip(b" \t")
            if line_end.startswith(b"\r\n"):
                start = at + len(self._delimiter) + len(rest) - len(line_end) + 2
                return at, (data[start:], False)
            if line_end in (b"", b"\r", b"-") and len(rest) < _MAX_PADDING:
                return at, None
            # Another boundary that only begins like ours.
            at = data.find(self._delimiter, at + 1)
        return -1, None

    def _more(self) -> bytes:
        chunk = next(self._chunks, b"")
        if not chunk:
            raise PacsUnreachable("the answer ended before its closing boundary")
        return chunk


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

"""What a request sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests
import urllib3.exceptions

from dicomweb.errors import BodyUnreadable

_TOGETHER = 64 * 1024


@dataclass(frozen=True)
class Body:
    """What a request sends. It can be read again from the start, so that a retry never sends half of it.

    Parameters
    ----------
    content_type
        Media type with its parameters.
    length
        Bytes, exactly: sent as Content-Length.
    open
        Gives a new iterator over the bytes at each call.
    """

    content_type: str
    length: int
    open: Callable[[], Iterator[bytes]]

    @classmethod
    def of(cls, content: bytes, content_type: str) -> Body:
        """Make a body of bytes that are in memory."""
        return cls(content_type, len(content), lambda: iter((content,)))


class Sending:
    """One pass over a body; its ``len()`` makes requests send Content-Length instead of chunks.

    Short pieces go out together: each one alone would be a packet of its own and wake the PACS for it.

    Iterating raises BodyUnreadable when the body cannot be read or is not as long as announced.
    """

    def __init__(self, body: Body) -> None:
        self._body = body

    def __len__(self) -> int:
        return self._body.length

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        pending = bytearray()
        try:
            for piece in self._body.open():
                sent += len(piece)
                if sent > self._body.length:
                    break
                if len(pending) + len(piece) <= _TOGETHER:
                    pending += piece
                    continue
                if pending:
                    yield bytes(pending)
                    pending.clear()
                yield piece
            if pending and sent == self._body.length:
                yield bytes(pending)
        except (OSError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # Left as it is, the HTTP library would take it for trouble with the connection to the PACS.
            raise BodyUnreadable("what was to be sent could not be read") from error
        if sent != self._body.length:
            raise BodyUnreadable("what was to be sent is not as long as was announced")

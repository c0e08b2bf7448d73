"""Request bodies that can be sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests
import urllib3.exceptions

from dicomweb.errors import BodyUnreadable

_TOGETHER = 64 * 1024


@dataclass(frozen=True)
class Body:
    """The body of a request. It can be read again from the start, so that a retry sends all of it.

    Parameters
    ----------
    content_type
        Media type with its parameters.
    length
        Bytes, exactly: sent as Content-Length.
    open
        Returns a new iterator over the bytes at each call.
    """

    content_type: str
    length: int
    open: Callable[[], Iterator[bytes]]

    @classmethod
    def of(cls, content: bytes, content_type: str) -> Body:
        """Return a body of bytes in memory."""
        return cls(content_type, len(content), lambda: iter((content,)))


class BodyIterator:
    """One pass over a body; its ``len()`` makes requests send Content-Length instead of chunks.

    Short pieces are sent together, since each alone would be a packet of its own.

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
            # Otherwise the HTTP library would report it as a broken connection to the PACS.
            raise BodyUnreadable("the body could not be read") from error
        if sent != self._body.length:
            raise BodyUnreadable("the body is not as long as announced")

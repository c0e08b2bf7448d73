"""Answers of a PACS."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from dicomweb._mapping import error_for_status, mapped_errors
from dicomweb.errors import PacsFault

MAX_ANSWER = 256 * 1024 * 1024
"""Bytes: the longest answer that is read into memory."""

_READ_SIZE = 256 * 1024


class Response:
    """The answer to a request, whatever its status.

    Attributes
    ----------
    status
        HTTP status.
    headers
        Headers, names in any case.
    url
        Where the answer came from in the end.
    content
        The body; empty when the answer is streamed.
    """

    def __init__(self, raw: requests.Response) -> None:
        self._raw = raw
        self.status: int = raw.status_code
        self.headers: Mapping[str, str] = raw.headers
        self.url: str = raw.url
        self.content = b""

    @property
    def media_type(self) -> str:
        """Media type of the body in lower case, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield the body as it arrives, in pieces of at most 256 KiB; in one piece where it was read before."""
        if self.content:
            yield self.content
            return
        with mapped_errors():
            while piece := self._raw.raw.read1(_READ_SIZE, decode_content=True):
                yield piece

    def read(self) -> bytes:
        """Read the rest of the body into memory.

        Raises
        ------
        PacsUnreachable, PacsTimeout
            As for :meth:`iter_bytes`.
        PacsFault
            The body cannot be decoded, or is too long to be an answer.
        """
        try:
            self.content = self._whole() if self._is_short() else b"".join(limited(self.iter_bytes()))
        except PacsFault:
            self.close()
            raise
        return self.content

    def _is_short(self) -> bool:
        """Return whether the body is known to be no longer than may be read; one that is encoded can become longer."""
        length = self._raw.raw.length_remaining
        return length is not None and length <= MAX_ANSWER and "Content-Encoding" not in self.headers

    def _whole(self) -> bytes:
        """Read into one place at once: pieces of a frame would be copied as often as they are put together."""
        with mapped_errors():
            whole: bytes = self._raw.raw.read()
        return whole

    def json(self) -> Any:
        """Parse the body that was read.

        Raises
        ------
        PacsFault
            It is not JSON: a login page, a proxy's error page, half an answer.
        """
        return parse_json(self.content, self.status)

    def raise_for_status(self) -> None:
        """Raise the error that the status means.

        Raises
        ------
        PacsRejectedCredentials, NotFound, NotSupported, PacsBusy, PacsTimeout, RequestRejected, PacsFault
            For statuses that are no success.
        """
        error = error_for_status(self.status, self.headers)
        if error is not None:
            self.close()
            raise error

    def close(self) -> None:
        """Abandon the rest of the body, and the connection with it when there is a rest."""
        if self._raw.raw.length_remaining == 0:
            self._raw.raw.drain_conn()  # Reads nothing more, and puts the connection back.
        self._raw.close()


def parse_json(body: bytes, status: int | None = None) -> Any:
    """Parse the body of an answer.

    Parameters
    ----------
    status
        That of the answer, for the error.

    Raises
    ------
    PacsFault
        It is not JSON.
    """
    try:
        with _collector_paused():
            return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PacsFault("the PACS answered something that is not JSON", status=status) from error


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector, which would look at all lists and objects of a long answer while more are made.

    Metadata of 3,000 instances are parsed in a quarter of the time. Parsing leaves nothing to be collected.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def limited(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces of an answer that is to be read into memory.

    Raises
    ------
    PacsFault
        They are more than `MAX_ANSWER` bytes.
    """
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_ANSWER:
            raise PacsFault("the answer of the PACS is too long")
        yield piece

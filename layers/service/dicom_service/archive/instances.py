"""The instances of an exam: listed as a reader has them, and fetched a few at a time, in order and bounded memory."""

import io
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from dicom_service.errors import NotFound
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.pacs import NO_EXAM, all_rows
from dicom_service.pacs_errors import pacs_errors
from dicomweb.client import DicomwebClient
from dicomweb.dataset import text

# Requests to the PACS at once, and what each holds: in memory, and in a file beside it.
_AT_ONCE = 4
_IN_MEMORY = 4 * 1024 * 1024
SPOOLED = 256 * 1024 * 1024
_PIECE = 1024 * 1024
_PAGE = 1000
_MEANWHILE = 5.0


@dataclass
class Fetched:
    """One instance: its beginning, and the rest of it if it is too large to be kept.

    Parameters
    ----------
    name
        Its UIDs.
    file
        What was read of it so far, all of it where `size` is set.
    """

    name: InstanceName
    file: BinaryIO
    size: int | None


def list_instances(client: DicomwebClient, study_uid: str) -> list[tuple[str, str]]:
    """Return series and instance UIDs of an exam, by the numbers that their makers gave them.

    Raises
    ------
    NotFound
        The PACS has no such exam.
    PacsError
        It cannot be asked.
    """
    found: list[tuple[str, str]] = []
    with pacs_errors(NO_EXAM):
        series = all_rows(lambda offset: client.search_for_series(study_uid, limit=_PAGE, offset=offset))
        for one in sorted(series, key=lambda row: _number(row, "00200011")):
            found += _of_series(client, study_uid, text(one, "0020000E") or "")
        if not found:
            raise NotFound(NO_EXAM)
    return found


def _of_series(client: DicomwebClient, study_uid: str, series_uid: str) -> list[tuple[str, str]]:
    rows = all_rows(
        lambda offset: client.search_for_instances(
            study_uid, series_uid, limit=_PAGE, offset=offset, includefields=("InstanceNumber",)
        )
    )
    ordered = sorted(rows, key=lambda row: _number(row, "00200013"))
    # Some PACS return an instance on two pages.
    uids = dict.fromkeys(text(row, "00080018") or "" for row in ordered)
    return [(series_uid, uid) for uid in uids if uid]


def _number(row: Any, tag: str) -> tuple[int, str]:
    try:
        return int(float(text(row, tag) or "")), ""
    except ValueError:
        return 1 << 31, text(row, "00080018") or text(row, "0020000E") or ""


def fetch_all(
    client: DicomwebClient, names: Sequence[InstanceName], meanwhile: Callable[[], None] = lambda: None
) -> Generator[Fetched | None, None, None]:
    """Yield the instances in order; None for one that the PACS does not have any more.

    A file that does not fit into the room of one is yielded without its size: `stream` reads it from the start.

    Parameters
    ----------
    meanwhile
        Called every few seconds while the next one is waited for.

    Raises
    ------
    PacsError
        The PACS fails.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting: deque[Future[Fetched | None]] = deque()
        left = iter(names)
        try:
            for name in left:
                waiting.append(pool.submit(_fetch, client, name))
                if len(waiting) >= _AT_ONCE:
                    yield _arrived(waiting, meanwhile)
            while waiting:
                yield _arrived(waiting, meanwhile)
        finally:
            for future in waiting:
                future.cancel()
                future.add_done_callback(_close)


def _arrived(waiting: deque[Future[Fetched | None]], meanwhile: Callable[[], None]) -> Fetched | None:
    while not wait((waiting[0],), _MEANWHILE).done:
        meanwhile()
    return waiting.popleft().result()


def _fetch(client: DicomwebClient, name: InstanceName) -> Fetched | None:
    with ExitStack() as on_failure:
        try:
            with pacs_errors(), client.retrieve_instance(*name.uids) as opened:
                file, size = _spool(opened.iter_bytes(_PIECE), on_failure)
        except NotFound:
            return None
        # Who gets it closes it.
        on_failure.pop_all()
    return Fetched(name, file, size)


def _spool(pieces: Iterator[bytes], on_failure: ExitStack) -> tuple[BinaryIO, int | None]:
    """Return a file with these pieces and its length; None for that, and not all of them, where they are too many."""
    # Not a SpooledTemporaryFile: reading a header takes hundreds of calls, each of which it passes on.
    file: BinaryIO = io.BytesIO()
    size = 0
    for piece in pieces:
        if size <= _IN_MEMORY < size + len(piece):
            larger = cast(BinaryIO, on_failure.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115
            larger.write(cast(io.BytesIO, file).getbuffer())
            file = larger
        size += file.write(piece)
        if size > SPOOLED:
            return file, None
    return file, size


def _close(future: Future[Fetched | None]) -> None:
    """Close what nobody will read."""
    if not future.cancelled() and future.exception() is None:
        fetched = future.result()
        if fetched:
            fetched.file.close()


def stream(client: DicomwebClient, name: InstanceName) -> Iterator[bytes]:
    """Yield an instance as it comes.

    Raises
    ------
    PacsError
        The PACS fails, or breaks off.
    """
    with pacs_errors(), client.retrieve_instance(*name.uids) as opened:
        yield from opened.iter_bytes(_PIECE)

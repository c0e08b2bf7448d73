"""Frames as they are stored: of the cache bucket, of the PACS, or read from the file where the PACS has no frames."""

import tempfile
from typing import TYPE_CHECKING, Any

import imaging
from dicom_service import log
from dicom_service.errors import NotFound as Missing
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.origin_server.shared_cache import Entry, SharedCache
from dicom_service.origin_server.study_state import StudyState
from dicom_service.origin_server.transfer_syntaxes import syntax_of
from dicom_service.pacs import pacs_errors
from dicomweb.errors import NotFound, NotSupported, PacsFault, RequestRejected

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = log.get_logger()

NO_FRAME = "There is no such frame."
# A file is read whole only up to this size: /tmp has 512 MB.
_LARGEST_FILE = 256 * 1024 * 1024
_SPOOL = 32 * 1024 * 1024
# Frames that are kept beside the one asked for, once their file is here: viewers ask for them next.
_MOST_NEIGHBOURS, _NEIGHBOUR_BYTES = 32, 32 * 1024 * 1024
SYNTAX = "transfer-syntax"


class FrameSource:
    """Returns frames, each asked of the PACS once for all callers.

    Parameters
    ----------
    client
        The PACS.
    cache
        Keeps frames by the revision of their study.
    capabilities
        The services that this PACS does not have.
    """

    def __init__(self, client: "DicomwebClient", cache: SharedCache, capabilities: Capabilities) -> None:
        self._client = client
        self._cache = cache
        self._capabilities = capabilities

    def stored(self, state: StudyState, name: InstanceName, number: int) -> Entry:
        """Return a frame in the transfer syntax in which it is stored, which the attribute `SYNTAX` names.

        Raises
        ------
        NotFound
            There is no such instance or frame.
        PacsError
            The PACS cannot be asked.
        """
        return self._cache.get(_key(state, name, number), lambda: self._fetch(state, name, number))

    def transcoded(self, state: StudyState, name: InstanceName, number: int, wanted: tuple[str, str]) -> Entry | None:
        """Return a frame in another transfer syntax, made by the PACS; None where it does not.

        Parameters
        ----------
        wanted
            Media type and transfer syntax.
        """
        media_type, syntax = wanted
        accept = f'multipart/related; type="{media_type}"; transfer-syntax={syntax}'
        try:
            with pacs_errors(NO_FRAME):
                try:
                    frame = self._client.retrieve_frame(*name.uids, number, accept=accept)
                except (NotFound, NotSupported, PacsFault, RequestRejected) as error:
                    logger.info(
                        "frame not transcoded", extra={"instance": log.hashed(name.instance_uid), **log.describe(error)}
                    )
                    return None
        except Missing:
            return None
        given = syntax_of(frame.media_type, frame.transfer_syntax_uid, frame.data)
        # Some PACS ignore what is asked for.
        return _entry(state, frame.data, given) if given == syntax and frame.data else None

    def header(self, name: InstanceName) -> dict[str, Any]:
        """Return the metadata of an instance that describe its pixels."""
        with pacs_errors(NO_FRAME):
            if self._capabilities.supports("metadata"):
                try:
                    return self._client.retrieve_instance_metadata(*name.uids)
                except (NotSupported, RequestRejected, PacsFault) as error:
                    logger.info("no metadata of this instance", extra=log.describe(error))
            with self._client.retrieve_instance(*name.uids) as stream:
                try:
                    return imaging.read_header(stream.iter_bytes(64 * 1024))
                except imaging.ImagingError as error:
                    raise PacsFault("the PACS returned a file whose header cannot be read") from error

    def _fetch(self, state: StudyState, name: InstanceName, number: int) -> Entry:
        unsupported: NotSupported | None = None
        with pacs_errors(NO_FRAME), self._client.shared_deadline():
            if self._capabilities.supports("frames"):
                try:
                    frame = self._client.retrieve_frame(*name.uids, number)
                except NotSupported as error:
                    unsupported = error
                except (RequestRejected, PacsFault) as error:
                    logger.info("no frames of this instance", extra=log.describe(error))
                else:
                    if not frame.data:
                        raise Missing(NO_FRAME)
                    return _entry(state, frame.data, syntax_of(frame.media_type, frame.transfer_syntax_uid, frame.data))
            entry = self._of_file(state, name, number)
        # Only now: an instance without pixels has no frames either, whatever the PACS supports.
        if unsupported is not None:
            self._capabilities.mark_unsupported("frames", unsupported)
        return entry

    def _of_file(self, state: StudyState, name: InstanceName, number: int) -> Entry:
        with (
            self._client.retrieve_instance(*name.uids) as stream,
            tempfile.SpooledTemporaryFile(max_size=_SPOOL) as file,
        ):
            for chunk in stream.iter_bytes():
                file.write(chunk)
                if file.tell() > _LARGEST_FILE:
                    raise PacsFault("the file is too large to read its frames from it")
            file.seek(0)
            try:
                frames = imaging.StoredFrames(file)  # type: ignore[arg-type]
                entry = _entry(state, *frames.read(number))
            except imaging.ImagingError as error:
                raise Missing(NO_FRAME) from error
            self._keep_neighbours(state, name, number, frames)
        return entry

    def _keep_neighbours(
        self, state: StudyState, name: InstanceName, number: int, frames: imaging.StoredFrames
    ) -> None:
        kept = 0
        for other in range(number + 1, min(frames.count, number + _MOST_NEIGHBOURS) + 1):
            try:
                data, syntax = frames.read(other)
            except imaging.ImagingError:
                return
            kept += len(data)
            if kept > _NEIGHBOUR_BYTES:
                return
            self._cache.put(_key(state, name, other), _entry(state, data, syntax))


def _entry(state: StudyState, data: bytes, syntax: str) -> Entry:
    return Entry(data, {SYNTAX: syntax, "patient": state.label})


def _key(state: StudyState, name: InstanceName, number: int) -> str:
    return f"{state.folder}frames/{name.series_uid}/{name.instance_uid}/{number}"

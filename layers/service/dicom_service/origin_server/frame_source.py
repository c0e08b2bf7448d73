"""Frames as they are stored: of the cache bucket, of the PACS, or read from the file where the PACS has no frames."""

from typing import TYPE_CHECKING, Any

import imaging
from dicom_service import log
from dicom_service.errors import NotFound as Missing
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.instance_reader import InstanceReader
from dicom_service.native_syntaxes import EXPLICIT_BIG
from dicom_service.origin_server.shared_cache import Entry, SharedCache
from dicom_service.origin_server.study_state import StudyState
from dicom_service.origin_server.transfer_syntaxes import syntax_of
from dicom_service.pacs_errors import pacs_errors
from dicomweb.errors import NotFound, NotSupported, PacsFault, RequestRejected

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = log.get_logger()

NO_FRAME = "There is no such frame."
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
        self._reader = InstanceReader(client, capabilities)

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
            return self._reader.header(name)

    def _fetch(self, state: StudyState, name: InstanceName, number: int) -> Entry:
        with pacs_errors(NO_FRAME), self._client.shared_deadline():
            # An instance without pixels has no frames either, whatever the PACS supports: its file tells.
            return self._reader.pacs_or_file(
                "frames",
                name.instance_uid,
                lambda: self._of_pacs(state, name, number),
                lambda: self._of_file(state, name, number),
            )

    def _of_pacs(self, state: StudyState, name: InstanceName, number: int) -> Entry:
        frame = self._client.retrieve_frame(*name.uids, number)
        if not frame.data:
            raise Missing(NO_FRAME)
        if frame.transfer_syntax_uid == EXPLICIT_BIG:
            # Octets are little endian to all who ask here (PS3.18 Table 8.7.3-2); reading the file swaps them.
            raise PacsFault("the PACS returned a frame in big endian")
        return _entry(state, frame.data, syntax_of(frame.media_type, frame.transfer_syntax_uid, frame.data))

    def _of_file(self, state: StudyState, name: InstanceName, number: int) -> Entry:
        with self._reader.open_file(name) as file:
            try:
                frames = imaging.StoredFrames(file)
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
            self._cache.put_new(_key(state, name, other), _entry(state, data, syntax))


def _entry(state: StudyState, data: bytes, syntax: str) -> Entry:
    return Entry(data, {SYNTAX: syntax, "patient": state.label})


def _key(state: StudyState, name: InstanceName, number: int) -> str:
    return f"{state.folder}frames/{name.series_uid}/{name.instance_uid}/{number}"

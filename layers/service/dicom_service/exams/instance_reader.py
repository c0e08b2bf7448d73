"""Reads instances from the PACS's service for what is wanted, or from the file where the PACS does not give it."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import imaging
from dicom_service import log
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicomweb.errors import NotSupported, PacsFault, RequestRejected

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = log.get_logger()

T = TypeVar("T")

# A file is fetched whole only up to this size: /tmp has 512 MB.
LARGEST_FILE = 256 * 1024 * 1024
_IN_MEMORY = 32 * 1024 * 1024
# Most headers are shorter; at most this much is read beyond the header.
_PIECE = 64 * 1024


class InstanceReader:
    """Reads the instances of one PACS.

    A PACS need not have the services for metadata and frames, and one that has them may fail for a single file: Orthanc
    stores files with an empty item between others of a sequence and then answers 500 for their metadata. Every PACS
    gives the file. Errors are the client's; callers map them by `pacs_errors`, which knows what was wanted.

    Parameters
    ----------
    client
        The PACS.
    capabilities
        The services that this PACS does not have.
    """

    def __init__(self, client: "DicomwebClient", capabilities: Capabilities) -> None:
        self._client = client
        self._capabilities = capabilities

    def pacs_or_file(self, service: str, uid: str, ask_pacs: Callable[[], T], read_file: Callable[[], T]) -> T:
        """Return what the PACS answers; where it lacks the service or fails, what is read from the file.

        Parameters
        ----------
        service
            The service that `ask_pacs` uses. A PACS that lacks it is not asked again for an hour.
        uid
            Of what is read, for the log.
        """
        if self._capabilities.supports(service):
            try:
                return ask_pacs()
            except NotSupported as error:
                # If the file is missing too, the PACS lacks the instance rather than the service.
                with self._capabilities.assume_unsupported(service, error):
                    return read_file()
            except (RequestRejected, PacsFault) as error:
                fields = {"service": service, "uid": log.hashed(uid), **log.describe(error)}
                logger.info("read from the file", extra=fields)
        return read_file()

    def header(self, name: InstanceName) -> dict[str, Any]:
        """Return the instance's metadata, DICOM JSON Model, with its PatientID and IssuerOfPatientID."""
        return self.pacs_or_file(
            "metadata",
            name.instance_uid,
            lambda: self._client.retrieve_instance_metadata(*name.uids),
            lambda: self.header_of_file(name),
        )

    def header_of_file(self, name: InstanceName) -> dict[str, Any]:
        """Return the header that the beginning of the file holds, as `imaging.read_header` does."""
        with self._client.retrieve_instance(*name.uids) as stream:
            try:
                return imaging.read_header(stream.iter_bytes(_PIECE))
            except imaging.ImagingError as error:
                raise PacsFault("the PACS returned a file whose header cannot be read") from error

    @contextmanager
    def open_file(
        self, name: InstanceName, check_beginning: Callable[[bytes], None] | None = None
    ) -> Iterator[BinaryIO]:
        """Fetch the whole file and open it at its start: in memory if it is small, otherwise on disk.

        Parameters
        ----------
        check_beginning
            Is given the first bytes before any more are fetched.

        Raises
        ------
        PacsFault
            The file is larger than `LARGEST_FILE`.
        """
        with (
            self._client.retrieve_instance(*name.uids) as stream,
            tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file,
        ):
            for number, chunk in enumerate(stream.iter_bytes()):
                if number == 0 and check_beginning is not None:
                    check_beginning(chunk)
                file.write(chunk)
                if file.tell() > LARGEST_FILE:
                    raise PacsFault("the file is too large to be read here")
            file.seek(0)
            yield file  # type: ignore[misc]

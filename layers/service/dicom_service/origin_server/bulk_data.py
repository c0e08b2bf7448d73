"""Bulk data of an instance (PS3.18 §10.4.1.1.4): values that its metadata refer to, of the PACS or out of the file."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import imaging
from dicom_service.errors import BadRequest
from dicom_service.errors import NotFound as Missing
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.instance_reader import InstanceReader
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.native_syntaxes import EXPLICIT_BIG
from dicom_service.origin_server.accept import OCTETS, MediaRange, not_acceptable
from dicom_service.origin_server.answers import Part
from dicom_service.origin_server.links import bulk_elements
from dicom_service.origin_server.transfer_syntaxes import label_for, syntax_of
from dicom_service.pacs_errors import pacs_errors
from dicomweb.errors import NotFound, NotSupported, PacsFault

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient
    from dicomweb.wado import Frame

NOTHING_THERE = "There is no such bulk data."
_PATH = re.compile(r"[0-9A-F]{8}(\.[0-9]{1,6}\.[0-9A-F]{8}){0,16}")


def parse_path(text: str) -> str:
    """Return the path of an element: its tag, behind the tags and item numbers of the sequences around it.

    Raises
    ------
    BadRequest
        It is no such path.
    """
    if not _PATH.fullmatch(text.upper()):
        raise BadRequest("Bulk data are named by tags, with the numbers of items between them.", code="INVALID_PATH")
    return text.upper()


class BulkData:
    """Returns bulk data.

    Parameters
    ----------
    client
        The PACS.
    capabilities
        The services that this PACS does not have.
    """

    def __init__(self, client: "DicomwebClient", capabilities: Capabilities) -> None:
        self._client = client
        self._reader = InstanceReader(client, capabilities)

    def get(
        self, name: InstanceName, path: str, ranges: Sequence[MediaRange], scope: PatientScope, location: str
    ) -> tuple[list[Part], bool]:
        """Return the value of an element in one part or several, and whether the caller takes a multipart body.

        Raises
        ------
        NotFound
            There is no such instance, or no such element in it.
        NotAcceptable
            The caller does not take the value as it is.
        ExamSuspended
            The instance is not the patient's whom the caller's token was issued for.
        PacsError
            The PACS cannot be asked.
        """
        with pacs_errors(NOTHING_THERE), self._client.shared_deadline():
            found = self._reader.pacs_or_file(
                "metadata",
                name.instance_uid,
                lambda: self._of_pacs(name, path, scope),
                lambda: self._of_file(name, path, scope),
            )
        for each in ranges:
            labels = [_label(each, frame) for frame in found]
            named = [label for label in labels if label]
            takes_parts = all(each.takes_parts(label.partition(";")[0]) for label in named)
            if len(named) == len(found) and (takes_parts or len(found) == 1):
                parts = [Part(frame.data, label, location) for frame, label in zip(found, named, strict=True)]
                return parts, takes_parts
        raise not_acceptable(sorted({frame.media_type for frame in found}))

    def _of_pacs(self, name: InstanceName, path: str, scope: PatientScope) -> "list[Frame]":
        header = self._client.retrieve_instance_metadata(*name.uids)
        scope.check_header(header)
        element = dict(bulk_elements(header)).get(path)
        if element is None:
            raise PacsFault("the metadata do not refer to this value")
        try:
            found = self._client.retrieve_bulk_data(name.study_uid, str(element["BulkDataURI"]))
        except (NotFound, NotSupported) as error:
            raise PacsFault("the PACS does not have what its metadata refer to") from error
        if not found:
            raise PacsFault("the PACS returned no part of the value")
        if any(frame.transfer_syntax_uid == EXPLICIT_BIG for frame in found):
            raise PacsFault("the PACS returned the value in big endian")
        return found

    def _of_file(self, name: InstanceName, path: str, scope: PatientScope) -> "list[Frame]":
        with self._reader.open_file(name, check_beginning=scope.check_file) as file:
            try:
                values = imaging.read_value(file, path)
            except imaging.ImagingError as error:
                raise Missing(NOTHING_THERE) from error
        from dicomweb.wado import Frame  # with it comes the PACS's client, which is there by now

        return [Frame(value, OCTETS, syntax) for value, syntax in values]


def _label(each: MediaRange, frame: "Frame") -> str | None:
    """Return the Content-Type by which a range takes a value."""
    if frame.media_type == OCTETS or frame.transfer_syntax_uid:
        return label_for(each, syntax_of(frame.media_type, frame.transfer_syntax_uid, frame.data))
    # A document or a video that the PACS knows the type of.
    return frame.media_type if each.covers(frame.media_type) else (OCTETS if each.covers(OCTETS) else None)

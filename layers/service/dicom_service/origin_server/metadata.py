"""Metadata of a study, a series or an instance (PS3.18 §10.4.1.1.2): the PACS's, or read from the files."""

import contextvars
import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dicom_service import log
from dicom_service.errors import NotFound as Missing
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.instance_reader import InstanceReader
from dicom_service.exams.patient_scope import PatientScope, patient_label
from dicom_service.native_syntaxes import NATIVE
from dicom_service.origin_server.linked_json import LinkedJson, link_datasets, link_text
from dicom_service.origin_server.shared_cache import Entry, SharedCache
from dicom_service.origin_server.study_state import StudyState
from dicom_service.pacs import all_rows
from dicom_service.pacs_errors import pacs_errors
from dicom_service.patient import Patient, PatientHasher
from dicomweb.dataset import Dataset, text, value

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = log.get_logger()

NOTHING_THERE = "There is no such study, series or instance."
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
_ROWS, _BITS_ALLOCATED, _PIXEL_DATA, _TRANSFER_SYNTAX = "00280010", "00280100", "7FE00010", "00083002"
_AT_ONCE = 8
_BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


class Metadata:
    """Returns metadata as compressed JSON, of the cache bucket or of the PACS.

    Parameters
    ----------
    client
        The PACS.
    cache
        Keeps the metadata of studies and series; one of many callers asks the PACS.
    capabilities
        The services that this PACS does not have.
    hasher
        Returns the hasher of patients.
    """

    def __init__(
        self,
        client: "DicomwebClient",
        cache: SharedCache,
        capabilities: Capabilities,
        hasher: Callable[[], PatientHasher],
    ) -> None:
        self._client = client
        self._cache = cache
        self._reader = InstanceReader(client, capabilities)
        self._hasher = hasher

    def get(
        self, state: StudyState, series_uid: str | None, instance_uid: str | None, scope: PatientScope, root: str
    ) -> bytes:
        """Return the metadata of what the UIDs name, as a JSON array compressed by gzip.

        Parameters
        ----------
        state
            The study, which the caller may see.
        scope
            Compares the patient of each instance before any is returned.
        root
            URL of these services, for links.

        Raises
        ------
        NotFound
            There is nothing under these UIDs.
        ExamSuspended
            An instance is not the patient's whom the caller's token was issued for.
        PacsError
            The PACS cannot be asked.
        """

        def make() -> Entry:
            found = self._linked((state.study_uid, series_uid, instance_uid), root)
            scope.check_all(found.names)
            patients = {Patient.from_dataset(names) for names in found.names}
            label = patient_label(patients.pop(), self._hasher()) if len(patients) == 1 else ""
            return Entry(found.compressed, {"patient": label})

        if instance_uid is not None:
            return make().body
        place = hashlib.sha256(root.encode()).hexdigest()[:8]
        entry = self._cache.get(f"{state.folder}metadata/{place}/{series_uid or 'study'}", make)
        if not scope.accepts_label(entry.attributes.get("patient", "")):
            # Cached for a caller who sees everything: each instance is compared now, which ends with what is wrong.
            entry = make()
        return entry.body

    def _linked(self, uids: tuple[str, str | None, str | None], root: str) -> LinkedJson:
        with pacs_errors(NOTHING_THERE), self._client.shared_deadline():
            return self._reader.pacs_or_file(
                "metadata",
                uids[0],
                lambda: link_text(self._client.retrieve_metadata(*uids), root),
                lambda: link_datasets(self._one_by_one(*uids), root),
            )

    def _one_by_one(self, study_uid: str, series_uid: str | None, instance_uid: str | None) -> list[Dataset]:
        # Orthanc fails for a whole series where it cannot convert a single file.
        if instance_uid is not None:
            return [self._of_file((study_uid, str(series_uid), instance_uid))]
        names = list(self._instances(study_uid, series_uid))
        if not names:
            raise Missing(NOTHING_THERE)

        def one(name: tuple[str, str, str]) -> Dataset:
            return self._reader.pacs_or_file(
                "metadata",
                name[-1],
                lambda: self._client.retrieve_instance_metadata(*name),
                lambda: self._of_file(name),
            )

        # Each thread goes on within the deadline of this request.
        contexts = [contextvars.copy_context() for _ in names]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda context, name: context.run(one, name), contexts, names))

    def _instances(self, study_uid: str, series_uid: str | None) -> Iterable[tuple[str, str, str]]:
        for series in self._series(study_uid, series_uid):
            for row in all_rows(
                lambda offset, series=series: self._client.search_for_instances(study_uid, series, offset=offset)  # type: ignore[misc]
            ):
                if uid := text(row, _INSTANCE_UID):
                    yield study_uid, series, uid

    def _series(self, study_uid: str, series_uid: str | None) -> Sequence[str]:
        if series_uid is not None:
            return (series_uid,)
        rows = all_rows(lambda offset: self._client.search_for_series(study_uid, offset=offset))
        return [uid for row in rows if (uid := text(row, _SERIES_UID))]

    def _of_file(self, name: tuple[str, str, str]) -> Dataset:
        header = self._reader.header_of_file(InstanceName(*name))
        for element in header.values():
            # Bulk values are left out of such a header; they are there, to be had by their link.
            if element.get("vr") in _BULK_VRS and not element.keys() & {"Value", "InlineBinary"}:
                element["BulkDataURI"] = ""
        if _ROWS in header:
            # Reading stops before the pixels.
            header.setdefault(_PIXEL_DATA, {"vr": _pixel_vr(header), "BulkDataURI": ""})
        return header


def _pixel_vr(header: Dataset) -> str:
    """Return the VR of pixel data: OW for uncompressed pixels of more than 8 bits, else OB (PS3.5 A.2, A.4)."""
    is_native = value(header, _TRANSFER_SYNTAX) in NATIVE
    return "OW" if is_native and int(value(header, _BITS_ALLOCATED) or 0) > 8 else "OB"

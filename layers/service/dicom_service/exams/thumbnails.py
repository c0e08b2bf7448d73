"""Makes a small picture of an instance, series or exam: from the PACS where it can, else here, else a placeholder.

The way of a picture, in this order:

0. the header comes from ``/metadata`` (PS3.18 §10.4.1.1.2), else from the beginning of the file;
1. what has no picture (a report, a PDF, names burned in …) gets a labelled placeholder at once;
2. the PACS's own ``/thumbnail`` (PS3.18 §10.4.1.1.5), where it has one;
3. the one frame is fetched and rendered here, out of the whole file where the PACS gives no frames;
4. the PACS's ``/rendered`` with the file's own window, for what no decoder here reads;
5. a placeholder, never an error.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import imaging
from dicom_service import log
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.retrieve import InstanceName
from dicom_service.pacs import pacs_errors
from dicomweb.client import DicomwebClient
from dicomweb.errors import NotFound, NotSupported, PacsFault, RequestRejected
from imaging.header import number_of_frames, pixel_height_to_width, values
from imaging.picture import target_size

logger = log.get_logger()

# A file is fetched whole only up to this size: /tmp has 512 MB.
LARGEST_FILE = 256 * 1024 * 1024
_SPOOL = 32 * 1024 * 1024
# Most headers are shorter; no more than that is fetched beyond the header.
_PIECE = 64 * 1024
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
# Lookup tables that metadata gives by link only: red, green and blue palettes, their segmented forms, LUT Data.
_TABLES = ("00281201", "00281202", "00281203", "00281221", "00281222", "00281223", "00283000", "00283010")
_MISSING = (NotFound, NotSupported, RequestRejected, PacsFault)
_NO_INSTANCE = "The PACS has no such instance in this series."


@dataclass(frozen=True)
class Wanted:
    """What picture is asked for: longest side in pixels, and the media type."""

    size: int
    media_type: imaging.MediaType


@dataclass(frozen=True)
class Thumbnail:
    """A picture and where it came from: ``pacs``, ``frame``, ``rendered`` or ``placeholder; reason=…``."""

    data: bytes
    media_type: str
    source: str

    @property
    def is_placeholder(self) -> bool:
        """Whether it stands in for a picture."""
        return self.source.startswith("placeholder")


class Thumbnailer:
    """Makes pictures of the instances of one PACS.

    Parameters
    ----------
    client
        The PACS.
    capabilities
        What this PACS was found unable to do.
    allow_burned_in
        Whether pictures that say they have names burned in may be shown.
    """

    def __init__(self, client: DicomwebClient, capabilities: Capabilities, *, allow_burned_in: bool = False) -> None:
        self.client = client
        self._capabilities = capabilities
        self._allow_burned_in = allow_burned_in

    def header(self, name: InstanceName) -> dict[str, Any]:
        """Fetch the instance's header, DICOM JSON Model, with its PatientID and IssuerOfPatientID.

        A PACS need not have the metadata service, and one that has it may fail for a single file: Orthanc stores files
        with an empty item between others of a sequence and then answers 500 for their metadata. The beginning of the
        file stands in.

        Raises
        ------
        NotFound
            The PACS does not have the instance.
        PacsError
            The PACS cannot be asked, or gives a file whose header cannot be read.
        """
        lacking: NotSupported | None = None
        with pacs_errors(_NO_INSTANCE), self.client.shared_deadline():
            if self._capabilities.may("metadata"):
                try:
                    return self.client.retrieve_instance_metadata(name.study_uid, name.series_uid, name.instance_uid)
                except NotSupported as error:
                    lacking = error
                except (RequestRejected, PacsFault) as error:
                    told = {"instance": log.hashed(name.instance_uid), **log.describe(error)}
                    logger.info("no metadata of this instance", extra=told)
            header = self._header_of_file(name)
        # Only now: where the file is not there either, the PACS lacks the instance rather than the service.
        if lacking is not None:
            self._capabilities.learn("metadata", lacking)
        return header

    def make(self, name: InstanceName, header: Mapping[str, Any], wanted: Wanted) -> Thumbnail:
        """Make the picture; what cannot be shown becomes a placeholder.

        Raises
        ------
        PacsError
            The PACS cannot be reached, is too slow or refuses our credentials: then a placeholder would be a lie.
        """
        try:
            reason = imaging.classify(header, allow_burned_in=self._allow_burned_in)
        except imaging.CannotDecode:
            return self._placeholder("undecodable", "No picture", wanted)
        if reason is not None:
            return self._placeholder(reason.value, reason.label, wanted)
        ways: tuple[Callable[..., Thumbnail | None], ...] = (self._of_pacs, self._of_frame, self._rendered)
        with pacs_errors(_NO_INSTANCE):
            for way in ways:
                made = way(name, header, wanted)
                if made is not None:
                    return made
        return self._placeholder("undecodable", "Cannot be shown", wanted)

    def _header_of_file(self, name: InstanceName) -> dict[str, Any]:
        with self.client.retrieve_instance(name.study_uid, name.series_uid, name.instance_uid) as stream:
            try:
                return imaging.read_header(stream.iter_bytes(_PIECE))
            except imaging.ImagingError as error:
                raise PacsFault("the PACS gives a file whose header cannot be read") from error

    def _of_pacs(self, name: InstanceName, header: Mapping[str, Any], wanted: Wanted) -> Thumbnail | None:
        if not self._capabilities.may("thumbnail"):
            return None
        try:
            picture = self.client.retrieve_thumbnail(
                name.study_uid,
                name.series_uid,
                name.instance_uid,
                viewport=_viewport(header, wanted.size),
                media_type=wanted.media_type,
            )
        except NotSupported as error:
            self._capabilities.learn("thumbnail", error)
            return None
        except (NotFound, RequestRejected, PacsFault):
            return None
        return Thumbnail(picture.data, picture.media_type, "pacs") if picture.data else None

    def _of_frame(self, name: InstanceName, header: Mapping[str, Any], wanted: Wanted) -> Thumbnail | None:
        # The one frame, where there are many; the whole file where its metadata alone does not describe the frame.
        one_of_many = number_of_frames(header) > 1 and not _needs_tables(header) and self._capabilities.may("frames")
        makers = (self._render_frame, self._render_file) if one_of_many else (self._render_file,)
        for maker in makers:
            try:
                picture = maker(name, header, wanted)
            except (imaging.ImagingError, *_MISSING) as error:
                told = {"instance": log.hashed(name.instance_uid), **log.describe(error)}
                logger.info("frame not rendered", extra=told)
                continue
            if picture is not None:
                return Thumbnail(picture.data, picture.media_type, "frame")
        return None

    def _render_frame(self, name: InstanceName, header: Mapping[str, Any], wanted: Wanted) -> imaging.Picture | None:
        number = imaging.representative_frame(header)
        try:
            frame = self.client.retrieve_frame(name.study_uid, name.series_uid, name.instance_uid, number)
        except NotSupported as error:
            self._capabilities.learn("frames", error)
            return None
        return imaging.render_frame(
            frame.data,
            frame.transfer_syntax_uid or _EXPLICIT_LITTLE,
            header,
            frame=number,
            size=wanted.size,
            media_type=wanted.media_type,
        )

    def _render_file(self, name: InstanceName, _: Mapping[str, Any], wanted: Wanted) -> imaging.Picture | None:
        with (
            self.client.retrieve_instance(name.study_uid, name.series_uid, name.instance_uid) as stream,
            tempfile.SpooledTemporaryFile(max_size=_SPOOL) as file,
        ):
            for chunk in stream.iter_bytes():
                file.write(chunk)
                if file.tell() > LARGEST_FILE:
                    return None
            file.seek(0)
            return imaging.render(file, size=wanted.size, media_type=wanted.media_type)  # type: ignore[arg-type]

    def _rendered(self, name: InstanceName, header: Mapping[str, Any], wanted: Wanted) -> Thumbnail | None:
        if not self._capabilities.may("rendered"):
            return None
        window = imaging.window_of(header)
        try:
            picture = self.client.retrieve_rendered(
                name.study_uid,
                name.series_uid,
                name.instance_uid,
                frame=imaging.representative_frame(header) if number_of_frames(header) > 1 else None,
                viewport=_viewport(header, wanted.size),
                window=(window.center, window.width, window.function.lower().replace("_", "-")) if window else None,
                media_type=wanted.media_type,
            )
        except NotSupported as error:
            self._capabilities.learn("rendered", error)
            return None
        except (NotFound, RequestRejected, PacsFault):
            return None
        return Thumbnail(picture.data, picture.media_type, "rendered") if picture.data else None

    def _placeholder(self, reason: str, label: str, wanted: Wanted) -> Thumbnail:
        picture = imaging.placeholder(label, size=wanted.size, media_type=wanted.media_type)
        return Thumbnail(picture.data, picture.media_type, f"placeholder; reason={reason}")


def _viewport(header: Mapping[str, Any], size: int) -> tuple[int, int] | None:
    """Width and height that keep the aspect ratio: Orthanc would stretch the picture to any other."""
    rows, columns = values(header, "00280010"), values(header, "00280011")
    if not rows or not columns or not int(rows[0]) or not int(columns[0]):
        return None
    ratio = pixel_height_to_width(header, imaging.representative_frame(header))
    return target_size(int(columns[0]), int(rows[0]), ratio, size)


def _needs_tables(header: Mapping[str, Any]) -> bool:
    return any(tag in header for tag in _TABLES)

"""Makes a small picture of an instance: from the PACS if it can, otherwise here, otherwise a placeholder.

The steps, in this order:

0. the header comes from ``/metadata`` (PS3.18 §10.4.1.1.2), otherwise from the beginning of the file;
1. an instance without a picture (a report, a PDF, names burned in …) gets a labelled placeholder at once;
2. the PACS's own ``/thumbnail`` (PS3.18 §10.4.1.1.5), if it has one;
3. one frame is retrieved and rendered here, from the whole file if the PACS returns no frames;
4. the PACS's ``/rendered`` with the file's own window, for transfer syntaxes that no decoder here reads;
5. a placeholder, never an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import imaging
from dicom_service import log
from dicom_service.errors import NotFound as NoSuchFrame
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.instance_reader import InstanceReader
from dicom_service.exams.retrieve import NO_INSTANCE
from dicom_service.native_syntaxes import EXPLICIT_LITTLE
from dicom_service.pacs_errors import pacs_errors
from dicomweb.errors import NotFound, NotSupported, PacsFault, RequestRejected
from imaging.encoded_picture import target_size
from imaging.header import number_of_frames, pixel_height_to_width, values

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient
    from dicomweb.wado import Rendered

logger = log.get_logger()

# Lookup tables that metadata has by link only: red, green and blue palettes, their segmented forms, LUT Data.
_TABLES = ("00281201", "00281202", "00281203", "00281221", "00281222", "00281223", "00283000", "00283010")
_MISSING = (NotFound, NotSupported, RequestRejected, PacsFault)


@dataclass(frozen=True)
class ThumbnailRequest:
    """The picture that a caller requests.

    Parameters
    ----------
    size
        Its longest side in pixels.
    media_type
        JPEG or PNG.
    frame
        The frame's number, from 1; None for the one that represents the image.
    window
        The window to show it with; None for the file's own.
    own_window
        Whether the file's own LUT or window has to be applied, so that what the PACS calls a thumbnail does not do.
    """

    size: int
    media_type: imaging.MediaType
    frame: int | None = None
    window: imaging.Window | None = None
    own_window: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether any thumbnail of the instance will do."""
        return self.frame is None and self.window is None and not self.own_window

    def number(self, header: Mapping[str, Any]) -> int:
        """Return the number of the frame to show."""
        return imaging.representative_frame(header) if self.frame is None else self.frame


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail and its source: ``pacs``, ``frame``, ``rendered`` or ``placeholder; reason=…``."""

    data: bytes
    media_type: str
    source: str

    @property
    def is_placeholder(self) -> bool:
        """Whether it is a label instead of a picture."""
        return self.source.startswith("placeholder")


class Thumbnailer:
    """Makes thumbnails of the instances of one PACS.

    Parameters
    ----------
    client
        The PACS.
    capabilities
        The services that this PACS does not have.
    allow_burned_in
        Whether images that declare burned-in annotations may be shown.
    """

    def __init__(self, client: "DicomwebClient", capabilities: Capabilities, *, allow_burned_in: bool = False) -> None:
        self.client = client
        self._capabilities = capabilities
        self._reader = InstanceReader(client, capabilities)
        self._allow_burned_in = allow_burned_in

    def header(self, name: InstanceName) -> dict[str, Any]:
        """Return the instance's header, DICOM JSON Model, with its PatientID and IssuerOfPatientID.

        Raises
        ------
        NotFound
            The PACS does not have the instance.
        PacsError
            The PACS cannot be asked.
        """
        with pacs_errors(NO_INSTANCE), self.client.shared_deadline():
            return self._reader.header(name)

    def make(self, name: InstanceName, header: Mapping[str, Any], request: ThumbnailRequest) -> Thumbnail:
        """Make a thumbnail; an instance that cannot be shown gets a placeholder.

        Raises
        ------
        NotFound
            The instance has no such frame.
        PacsError
            The PACS cannot be asked.
        """
        if request.frame is not None and request.frame > number_of_frames(header):
            raise NoSuchFrame("The instance has no such frame.", code="NO_SUCH_FRAME")
        try:
            reason = imaging.classify(header, allow_burned_in=self._allow_burned_in)
        except imaging.CannotDecode:
            return self._placeholder("undecodable", "No picture", request)
        if reason is not None:
            return self._placeholder(reason.value, reason.label, request)
        steps: tuple[Callable[..., Thumbnail | None], ...] = (self._of_pacs, self._of_frame, self._rendered)
        with pacs_errors(NO_INSTANCE):
            for step in steps:
                made = step(name, header, request)
                if made is not None:
                    return made
        return self._placeholder("undecodable", "Cannot be shown", request)

    def _of_pacs(self, name: InstanceName, header: Mapping[str, Any], request: ThumbnailRequest) -> Thumbnail | None:
        if not request.is_plain:
            return None
        viewport = _viewport(header, request.size)
        return self._made_by_pacs(
            "thumbnail",
            lambda: self.client.retrieve_thumbnail(*name.uids, viewport=viewport, media_type=request.media_type),
            source="pacs",
        )

    def _of_frame(self, name: InstanceName, header: Mapping[str, Any], request: ThumbnailRequest) -> Thumbnail | None:
        # One frame of many; the whole file if its metadata alone does not describe the frame.
        one_of_many = (
            number_of_frames(header) > 1 and not _needs_tables(header) and self._capabilities.supports("frames")
        )
        makers = (self._render_frame, self._render_file) if one_of_many else (self._render_file,)
        for maker in makers:
            try:
                picture = maker(name, header, request)
            except (imaging.ImagingError, *_MISSING) as error:
                fields = {"instance": log.hashed(name.instance_uid), **log.describe(error)}
                logger.info("frame not rendered", extra=fields)
                continue
            if picture is not None:
                return Thumbnail(picture.data, picture.media_type, "frame")
        return None

    def _render_frame(
        self, name: InstanceName, header: Mapping[str, Any], request: ThumbnailRequest
    ) -> imaging.Picture | None:
        number = request.number(header)
        try:
            frame = self.client.retrieve_frame(*name.uids, number)
        except NotSupported as error:
            self._capabilities.mark_unsupported("frames", error)
            return None
        return imaging.render_frame(
            frame.data,
            frame.transfer_syntax_uid or EXPLICIT_LITTLE,
            header,
            frame=number,
            window=request.window,
            size=request.size,
            media_type=request.media_type,
        )

    def _render_file(self, name: InstanceName, _: Mapping[str, Any], request: ThumbnailRequest) -> imaging.Picture:
        with self._reader.open_file(name) as file:
            return imaging.render(
                file, frame=request.frame, window=request.window, size=request.size, media_type=request.media_type
            )

    def _rendered(self, name: InstanceName, header: Mapping[str, Any], request: ThumbnailRequest) -> Thumbnail | None:
        window = request.window or imaging.window_of(header, request.frame)
        return self._made_by_pacs(
            "rendered",
            lambda: self.client.retrieve_rendered(
                *name.uids,
                frame=request.number(header) if number_of_frames(header) > 1 else None,
                viewport=_viewport(header, request.size),
                window=(window.center, window.width, window.function.lower().replace("_", "-")) if window else None,
                media_type=request.media_type,
            ),
            source="rendered",
        )

    def _made_by_pacs(self, service: str, ask: "Callable[[], Rendered]", source: str) -> Thumbnail | None:
        if not self._capabilities.supports(service):
            return None
        try:
            picture = ask()
        except NotSupported as error:
            self._capabilities.mark_unsupported(service, error)
            return None
        except (NotFound, RequestRejected, PacsFault):
            return None
        return Thumbnail(picture.data, picture.media_type, source) if picture.data else None

    def _placeholder(self, reason: str, label: str, request: ThumbnailRequest) -> Thumbnail:
        picture = imaging.placeholder(label, size=request.size, media_type=request.media_type)
        return Thumbnail(picture.data, picture.media_type, f"placeholder; reason={reason}")


def _viewport(header: Mapping[str, Any], size: int) -> tuple[int, int] | None:
    """Return width and height that keep the aspect ratio: Orthanc stretches the picture to any other."""
    rows, columns = values(header, "00280010"), values(header, "00280011")
    if not rows or not columns or not int(rows[0]) or not int(columns[0]):
        return None
    ratio = pixel_height_to_width(header, imaging.representative_frame(header))
    return target_size(int(columns[0]), int(rows[0]), ratio, size)


def _needs_tables(header: Mapping[str, Any]) -> bool:
    return any(tag in header for tag in _TABLES)

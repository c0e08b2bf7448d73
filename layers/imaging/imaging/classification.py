"""Tell, from the header alone, what has no picture to show and why."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from imaging.header import COLUMNS, ROWS, first, frame_bytes, number, text, values

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_FRAME_BYTES = 512 * 1024 * 1024
"""Default ceiling of one decoded frame, in bytes."""


class Reason(StrEnum):
    """Why an instance gets a placeholder; the value is a stable token for headers and logs."""

    STRUCTURED_REPORT = "sr"
    KEY_OBJECTS = "ko"
    PRESENTATION_STATE = "pr"
    PDF = "pdf"
    DOCUMENT = "document"
    WAVEFORM = "waveform"
    VIDEO = "video"
    BURNED_IN = "burned-in"
    NO_PIXELS = "no-pixels"
    TOO_LARGE = "too-large"

    @property
    def label(self) -> str:
        """Words for people, to write on the placeholder."""
        return _LABELS[self]


_LABELS = {
    Reason.STRUCTURED_REPORT: "Structured report",
    Reason.KEY_OBJECTS: "Key object selection",
    Reason.PRESENTATION_STATE: "Presentation state",
    Reason.PDF: "PDF",
    Reason.DOCUMENT: "Document",
    Reason.WAVEFORM: "Waveform",
    Reason.VIDEO: "Video",
    Reason.BURNED_IN: "Hidden: names in the picture",
    Reason.NO_PIXELS: "No picture",
    Reason.TOO_LARGE: "Too large to show",
}

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_BY_CLASS = {
    # Key Object Selection Document lies among the structured reports: the longer UID is tried first
    f"{_STORAGE}88.59": Reason.KEY_OBJECTS,
    f"{_STORAGE}104.1": Reason.PDF,
    f"{_STORAGE}77.1.1.1": Reason.VIDEO,
    f"{_STORAGE}77.1.2.1": Reason.VIDEO,
    f"{_STORAGE}77.1.4.1": Reason.VIDEO,
}
_BY_ROOT = (
    (f"{_STORAGE}88.", Reason.STRUCTURED_REPORT),
    (f"{_STORAGE}11.", Reason.PRESENTATION_STATE),
    (f"{_STORAGE}9.", Reason.WAVEFORM),
    (f"{_STORAGE}104.", Reason.DOCUMENT),
)
_BY_MODALITY = {
    "SR": Reason.STRUCTURED_REPORT,
    "KO": Reason.KEY_OBJECTS,
    "PR": Reason.PRESENTATION_STATE,
    "DOC": Reason.DOCUMENT,
}
# MPEG-2, MPEG-4 and HEVC are 1.2.840.10008.1.2.4.100 … .108, with .1 added where fragmentable; SMPTE ST 2110 is .7.*
_VIDEO_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{suffix}" for suffix in range(100, 109))
_SMPTE_ROOT = "1.2.840.10008.1.2.7."


def is_video(transfer_syntax_uid: str) -> bool:
    """Return whether a transfer syntax holds a video stream rather than frames (PS3.5 A.4.5 to A.4.7, A.7)."""
    return transfer_syntax_uid.removesuffix(".1") in _VIDEO_SYNTAXES or transfer_syntax_uid.startswith(_SMPTE_ROOT)


def _transfer_syntaxes(header: "Dataset | Mapping[str, Any]") -> list[str]:
    # A Part 10 file says it in its meta information, a DICOMweb answer in AvailableTransferSyntaxUID
    meta = None if isinstance(header, Mapping) else getattr(header, "file_meta", None)
    found = values(header, "00020010") + values(header, "00083002")
    return [str(uid) for uid in found + ([] if meta is None else values(meta, "00020010"))]


def _kind(header: "Dataset | Mapping[str, Any]") -> Reason | None:
    sop_class = text(header, "00080016")
    if sop_class in _BY_CLASS:
        return _BY_CLASS[sop_class]
    for root, reason in _BY_ROOT:
        if sop_class.startswith(root):
            return reason
    if not sop_class and first(header, ROWS) is None:
        return _BY_MODALITY.get(text(header, "00080060"))
    return None


def classify(
    header: "Dataset | Mapping[str, Any]",
    *,
    transfer_syntax_uid: str | None = None,
    max_frame_bytes: int = MAX_FRAME_BYTES,
    allow_burned_in: bool = False,
) -> Reason | None:
    """Return why an instance gets a placeholder without trying, or None when its frame should be rendered.

    Parameters
    ----------
    header
        The instance's metadata: a pydicom dataset or a DICOM JSON object. It needs no pixel data.
    transfer_syntax_uid
        How the pixel data is encoded, where the caller knows; else what the header says.
    max_frame_bytes
        Ceiling of one decoded frame, in bytes.
    allow_burned_in
        Whether pictures with BurnedInAnnotation (0028,0301) = YES may be shown. A thumbnail shall not contain
        patient identifying information (PS3.18 10.4.1.1.5).
    """
    kind = _kind(header)
    if kind is not None:
        return kind
    syntaxes = [transfer_syntax_uid] if transfer_syntax_uid else _transfer_syntaxes(header)
    if any(is_video(uid) for uid in syntaxes):
        return Reason.VIDEO
    if not number(header, ROWS) or not number(header, COLUMNS):
        return Reason.NO_PIXELS
    if not allow_burned_in and text(header, "00280301") == "YES":
        return Reason.BURNED_IN
    if frame_bytes(header) > max_frame_bytes:
        return Reason.TOO_LARGE
    return None

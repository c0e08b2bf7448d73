"""The media types in which frames of each transfer syntax travel (PS3.18 Table 8.7.3-5)."""

from dicom_service.native_syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, NATIVE
from dicom_service.origin_server.accept import ANY, OCTETS, MediaRange

JPEG_LS = "1.2.840.10008.1.2.4.80"
# The first of each media type is what it means without a transfer syntax.
_SYNTAXES = {
    "image/jpeg": (
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.57",
    ),
    "image/jls": (JPEG_LS, "1.2.840.10008.1.2.4.81"),
    "image/jp2": ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),
    "image/jpx": ("1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"),
    "image/jphc": ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
    "video/mpeg2": ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.101"),
    "video/mp4": ("1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.103", "1.2.840.10008.1.2.4.104"),
    "video/H265": ("1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.108"),
}
_MEDIA_TYPES = {uid: media_type for media_type, uids in _SYNTAXES.items() for uid in uids}
_STARTS_OF_JPEG = {0xC0: "1.2.840.10008.1.2.4.50", 0xC1: "1.2.840.10008.1.2.4.51", 0xC3: "1.2.840.10008.1.2.4.70"}


def media_type_of(transfer_syntax: str) -> str:
    """Return the media type of a frame; ``application/octet-stream`` for uncompressed and for unknown ones."""
    return _MEDIA_TYPES.get(transfer_syntax, OCTETS)


def syntax_of(media_type: str, stated: str | None, data: bytes) -> str:
    """Return the transfer syntax of a frame from the PACS: the one it states, else what its media type means."""
    if stated and stated != ANY:
        return EXPLICIT_LITTLE if stated in NATIVE and stated != EXPLICIT_BIG else stated
    if media_type == "image/jpeg":
        # Few PACS mean by it what the standard does, so the frame itself is asked: its start-of-frame marker.
        found = next((uid for marker, uid in _STARTS_OF_JPEG.items() if bytes((0xFF, marker)) in data[:1024]), None)
        return found or _SYNTAXES[media_type][0]
    return _SYNTAXES.get(media_type, (EXPLICIT_LITTLE,))[0]


def label_for(each: MediaRange, transfer_syntax: str) -> str | None:
    """Return the Content-Type by which a range takes frames of a transfer syntax; None where it does not.

    ``application/octet-stream`` takes compressed frames where it names their transfer syntax or any: that is what
    viewers ask for, and what PACS answer.
    """
    own = media_type_of(transfer_syntax)
    is_native = transfer_syntax in NATIVE
    if each.transfer_syntax is None:
        # Without one, octets are uncompressed; an image or */* is whatever it is.
        if each.covers(own, transfer_syntax) and (is_native or own != OCTETS):
            return own if is_native else f"{own}; transfer-syntax={transfer_syntax}"
        return None
    if each.transfer_syntax not in (ANY, transfer_syntax) and not (is_native and each.transfer_syntax in NATIVE):
        return None
    label = own if each.covers(own, transfer_syntax) else OCTETS
    return f"{label}; transfer-syntax={transfer_syntax}" if each.covers(label, transfer_syntax) else None


def asked_of_pacs(each: MediaRange) -> tuple[str, str] | None:
    """Return media type and transfer syntax to ask the PACS for, where a range wants what is not stored; else None."""
    if "*" in each.media_type or each.transfer_syntax == ANY:
        return None
    if each.media_type == OCTETS:
        return OCTETS, each.transfer_syntax or EXPLICIT_LITTLE
    if each.media_type not in _SYNTAXES:
        return None
    wanted = each.transfer_syntax or _SYNTAXES[each.media_type][0]
    return (each.media_type, wanted) if wanted in _SYNTAXES[each.media_type] else None

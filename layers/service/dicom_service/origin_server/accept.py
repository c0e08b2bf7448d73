"""What a caller accepts (RFC 9110 §12.5.1, PS3.18 §8.3.3, §8.7): media ranges, DICOM's parameters, weights."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from dicom_service.errors import BadRequest, NotAcceptable
from dicom_service.native_syntaxes import NATIVE

DICOM, DICOM_JSON, OCTETS = "application/dicom", "application/dicom+json", "application/octet-stream"
# Not a media type of these resources, but what many programs ask for and read.
_JSON = "application/json"
MULTIPART = "multipart/related"
ANY = "*"
_LONGEST = 4096
_MOST_RANGES = 100
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"({_WORD})/({_WORD})")
# Some clients leave out the quotation marks that the slash and the plus of `type` demand.
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))')
_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})


@dataclass(frozen=True)
class MediaRange:
    """One entry of an Accept header.

    Parameters
    ----------
    media_type
        The type of the content in lower case, maybe with ``*``: for ``multipart/related`` that of the parts.
    is_multipart
        Whether the parts of ``multipart/related`` are accepted, or one body.
    transfer_syntax
        The UID asked for, ``*`` for any; None where none is named.
    weight
        From 0 to 1; 0 is not acceptable.
    narrower
        The more exact entries of the same header: each decides in place of this one what it covers.
    """

    media_type: str
    is_multipart: bool = False
    transfer_syntax: str | None = None
    weight: float = 1.0
    parameters: Mapping[str, str] = field(default_factory=dict)
    narrower: tuple["MediaRange", ...] = ()

    def covers(self, media_type: str, transfer_syntax: str | None = None) -> bool:
        """Return whether this is the range that decides on a media type, or on one of its transfer syntaxes.

        With `ANY` for the transfer syntax: on one of them at least that none of the others names.
        """
        return self._includes(media_type) and not any(
            each._decides(media_type, transfer_syntax)
            for each in self.narrower
            if each.is_multipart == self.is_multipart
        )

    def _decides(self, media_type: str, transfer_syntax: str | None) -> bool:
        if not self._includes(media_type):
            return False
        if self.transfer_syntax is not None or self.weight == 0 or media_type not in (DICOM, OCTETS):
            return self.transfer_syntax in (None, ANY, transfer_syntax)
        # Without a transfer syntax files and octets are uncompressed: of compressed ones this says nothing.
        return transfer_syntax is None or transfer_syntax in NATIVE

    def _includes(self, media_type: str) -> bool:
        if self.media_type in ("*/*", media_type):
            return True
        if self.media_type == _JSON and self.weight > 0:
            return media_type == DICOM_JSON
        return self.media_type.endswith("/*") and media_type.startswith(self.media_type[:-1])

    @property
    def is_anything(self) -> bool:
        """Whether it is ``*/*``: the choice is left to the server."""
        return self.media_type == "*/*" and not self.is_multipart

    def takes_parts(self, media_type: str) -> bool:
        """Return whether a multipart body of a type is taken: by ``*/*`` unless the header rejects such parts."""
        rejected = any(each.is_multipart and each.weight == 0 and each._includes(media_type) for each in self.narrower)
        return self.is_multipart or (self.is_anything and not rejected)

    @property
    def specificity(self) -> int:
        """How exact it is: the most exact range that covers a type decides (RFC 9110 §12.5.1)."""
        return 2 * (2 - self.media_type.count("*")) + (self.transfer_syntax not in (None, ANY))

    @property
    def is_utf8(self) -> bool:
        """Whether it allows UTF-8, the one character set of what is here (PS3.18 §8.7.4)."""
        return self.parameters.get("charset", "utf-8").lower() in _UTF8

    def is_narrower(self, other: "MediaRange") -> bool:
        """Return whether this is more exact than another range that covers some of the same."""
        if other.is_anything and self.is_multipart:
            return True
        if self.media_type == DICOM_JSON and other.media_type == _JSON:
            return True
        return self.specificity > other.specificity and other._includes(self.media_type)


def accepted(app: APIGatewayRestResolver) -> list[MediaRange]:
    """Return what a request accepts, the preferred first; without a word, anything.

    The query parameter ``accept`` counts before the header (PS3.18 §8.3.3.1).

    Raises
    ------
    BadRequest
        The header or the parameter cannot be read.
    NotAcceptable
        Everything in it has the weight 0.
    """
    event = app.current_event.raw_event
    query = event.get("multiValueQueryStringParameters") or {}
    texts = [text for name, values in query.items() if name.lower() == "accept" for text in values]
    if not texts:
        texts = [text for name, values in _headers(event) if name.lower() == "accept" for text in values]
    return parse_accept(",".join(texts))


def parse_accept(text: str) -> list[MediaRange]:
    """Return the media ranges of an Accept header, the preferred first.

    Raises
    ------
    BadRequest
        It cannot be read.
    NotAcceptable
        Everything in it has the weight 0.
    """
    if len(text) > _LONGEST:
        raise BadRequest(f"Accept has more than {_LONGEST} characters.", code="INVALID_ACCEPT")
    if not text.strip(" \t,"):
        return [MediaRange("*/*")]
    found = [_parse_range(part) for part in split_list(text) if part]
    if len(found) > _MOST_RANGES:
        raise BadRequest(f"Accept has more than {_MOST_RANGES} entries.", code="INVALID_ACCEPT")
    wanted = [each for each in found if each.weight > 0]
    if not wanted:
        raise NotAcceptable("Accept rejects every media type.")
    # What names another character set is nothing that is here, so it decides on nothing.
    usable = [each for each in found if each.is_utf8]
    decided = [replace(each, narrower=tuple(other for other in usable if other.is_narrower(each))) for each in wanted]
    # Sorting keeps the caller's order among equals.
    return sorted(decided, key=lambda each: (-each.weight, -each.specificity))


def check_takes_json(app: APIGatewayRestResolver) -> None:
    """Check that the caller takes DICOM JSON, the one form of searches and metadata here.

    Raises
    ------
    NotAcceptable
        It does not, or only in another character set than UTF-8 (PS3.18 §8.7.4).
    """
    ranges = [each for each in accepted(app) if not each.is_multipart]
    if not any(each.covers(DICOM_JSON) for each in ranges if each.is_utf8):
        raise not_acceptable((DICOM_JSON,))


def not_acceptable(offered: Iterable[str]) -> NotAcceptable:
    """Return the error that names what the resource can be had as."""
    return NotAcceptable(f"This is available as {', '.join(offered)}.")


def split_list(text: str, separator: str = ",") -> Iterator[str]:
    """Split a header at a separator, but not inside quotation marks."""
    part, quoted, escaped = "", False, False
    for character in text:
        if character == separator and not quoted:
            yield part.strip(" \t")
            part = ""
            continue
        part += character
        if escaped:
            escaped = False
        elif character == "\\" and quoted:
            escaped = True
        elif character == '"':
            quoted = not quoted
    yield part.strip(" \t")


def _parse_range(text: str) -> MediaRange:
    kind, *rest = split_list(text, ";")
    media_type = kind.lower()
    if media_type == ANY:  # what old Java clients send for */*
        media_type = "*/*"
    if not _RANGE.fullmatch(media_type) or (media_type.startswith("*/") and media_type != "*/*"):
        raise BadRequest("Accept is not a list of media types.", code="INVALID_ACCEPT")
    parameters: dict[str, str] = {}
    for each in filter(None, rest):
        found = _PARAMETER.fullmatch(each)
        if found is None:
            raise BadRequest("A parameter in Accept cannot be read.", code="INVALID_ACCEPT")
        name, quoted, plain = found.groups()
        parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
    weight = parameters.pop("q", "1")
    if not _WEIGHT.fullmatch(weight):
        raise BadRequest("A weight in Accept is not a number from 0 to 1.", code="INVALID_ACCEPT")
    is_multipart = media_type == MULTIPART
    if is_multipart:
        media_type = parameters.get("type", "*/*").lower()
        if not _RANGE.fullmatch(media_type):
            raise BadRequest("The type of multipart/related in Accept is none.", code="INVALID_ACCEPT")
    syntax = parameters.get("transfer-syntax")
    return MediaRange(media_type, is_multipart, syntax, float(weight), parameters)


def _headers(event: Mapping[str, object]) -> Iterable[tuple[str, list[str]]]:
    multiple = event.get("multiValueHeaders")
    if isinstance(multiple, dict):
        return multiple.items()
    single = event.get("headers")
    return ((name, [str(text)]) for name, text in single.items()) if isinstance(single, dict) else ()

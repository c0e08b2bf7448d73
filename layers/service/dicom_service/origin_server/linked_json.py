"""Metadata as this service returns them: the JSON of the PACS with other links, compressed.

A series of 3,000 instances is 57 MB of JSON, of which a few elements of each instance change. Only these are parsed;
the others are copied as the PACS wrote them, so numbers keep their digits. One instance after the other is read,
changed and compressed.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from dicom_service.edge import to_json
from dicom_service.origin_server.links import RETRIEVE_URL, link_bulk_data
from dicom_service.patient import ISSUER_OF_PATIENT_ID, PATIENT_ID
from dicomweb.dataset import Dataset
from dicomweb.wado import parse_datasets

_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
# What links are made of, and what names the patient.
_NAMES = (_STUDY_UID, _SERIES_UID, _INSTANCE_UID, PATIENT_ID, ISSUER_OF_PATIENT_ID)
# The JSON of a series repeats itself so much that more effort saves little.
_LEVEL = 3
_GZIP = zlib.MAX_WBITS | 16


class _Element(msgspec.Struct, gc=False):
    """What says whether there is bulk data in an element."""

    vr: str = ""
    uri: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="BulkDataURI")


_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_TEXTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ELEMENTS = msgspec.json.Decoder(dict[str, _Element])
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True)
class LinkedJson:
    """Datasets with links to this service.

    Parameters
    ----------
    compressed
        JSON array of them, compressed by gzip.
    names
        Of each the attributes that name its patient and itself.
    """

    compressed: bytes
    names: list[Dataset]


def link_text(text: bytes, root: str) -> LinkedJson:
    """Link metadata that are JSON of the PACS.

    Parameters
    ----------
    root
        URL of these services.

    Raises
    ------
    PacsFault
        They are no datasets in JSON.
    """
    try:
        return _written(_linked(text, root))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # Some PACS send what only the standard library takes: NaN, lone surrogates, a byte order mark.
        return link_datasets(parse_datasets(text), root)


def link_datasets(datasets: Iterable[Dataset], root: str) -> LinkedJson:
    """Link metadata that were parsed, as those of files are; the datasets change in place."""

    def linked() -> Iterator[tuple[bytes, Dataset]]:
        for dataset in datasets:
            link_bulk_data(dataset, root)
            yield to_json(dataset).encode(), {tag: dataset[tag] for tag in _NAMES if tag in dataset}

    return _written(linked())


def _written(datasets: Iterable[tuple[bytes, Dataset]]) -> LinkedJson:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    pieces = [packer.compress(b"[")]
    names: list[Dataset] = []
    for text, named in datasets:
        pieces.append(packer.compress(b"," + text if names else text))
        names.append(named)
    pieces += [packer.compress(b"]"), packer.flush()]
    return LinkedJson(b"".join(pieces), names)


def _linked(text: bytes, root: str) -> Iterator[tuple[bytes, Dataset]]:
    for one in _ARRAY.decode(text):
        # Some PACS indent it: a third is spaces.
        compact = msgspec.json.format(one, indent=-1)
        str(compact, "utf-8")
        elements = _TEXTS.decode(compact)
        names = {tag: msgspec.json.decode(elements[tag]) for tag in _NAMES if tag in elements}
        changing = {tag: msgspec.json.decode(elements[tag]) for tag in _changing(compact, elements)}
        link_bulk_data(parsed := names | changing, root)
        # What was compared is what is sent, also where an element names one of its parts twice.
        for tag in parsed:
            elements[tag] = msgspec.Raw(_ENCODER.encode(parsed[tag]))
        yield _ENCODER.encode(elements), {tag: parsed[tag] for tag in names}


def _changing(dataset: bytes, elements: Mapping[str, msgspec.Raw]) -> Iterator[str]:
    """Yield the tags of the elements in which links may be."""
    for tag, element in _ELEMENTS.decode(dataset).items():
        if element.uri is not msgspec.UNSET or (element.vr == "SQ" and _may_have_bulk_data(bytes(elements[tag]))):
            yield tag
    if RETRIEVE_URL in elements:
        yield RETRIEVE_URL


def _may_have_bulk_data(sequence: bytes) -> bool:
    # Its name might be written with escapes.
    return b"BulkDataURI" in sequence or b"\\u" in sequence

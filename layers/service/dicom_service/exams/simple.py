"""``format=simple``: datasets as flat objects keyed by DICOM keyword, for callers who do not know tags."""

from collections.abc import Mapping
from typing import Any


def simplify(dataset: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Flatten a dataset of the DICOM JSON Model (PS3.18 Annex F).

    A single value stands alone, several are a list, none is null; person names are one text, sequences are lists of
    objects. Private elements keep their tag as the key. Bulk data is left out: it is not a value.
    """
    # pydicom's dictionary is costly to import, and only this format needs it.
    from pydicom.datadict import keyword_for_tag

    flat: dict[str, Any] = {}
    for tag, element in dataset.items():
        if "BulkDataURI" in element or "InlineBinary" in element:
            continue
        values = [_plain(element.get("vr", ""), value) for value in element.get("Value", [])]
        single = len(values) == 1 and element.get("vr") != "SQ"
        flat[keyword_for_tag(int(tag, 16)) or tag] = values[0] if single else (values or None)
    return flat


def _plain(vr: str, value: Any) -> Any:
    if vr == "SQ":
        return simplify(value or {})
    if vr == "PN" and isinstance(value, Mapping):
        groups = [value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return value

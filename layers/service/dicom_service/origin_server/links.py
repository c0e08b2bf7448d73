"""Links to these services in place of the PACS's, which callers cannot reach: RetrieveURL and BulkDataURI."""

from collections.abc import Iterator, Mapping
from typing import Any

from dicomweb.dataset import text

RETRIEVE_URL = "00081190"
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"


def with_links(row: Mapping[str, Any], root: str, study_uid: str | None, series_uid: str | None) -> dict[str, Any]:
    """Return a row of a search with the RetrieveURL (0008,1190) of this service.

    Parameters
    ----------
    root
        URL of these services.
    study_uid, series_uid
        What was searched below, for rows that do not repeat it.
    """
    url = f"{root}/studies/{text(row, _STUDY_UID) or study_uid}"
    series, instance = text(row, _SERIES_UID) or series_uid, text(row, _INSTANCE_UID)
    if series:
        url += f"/series/{series}"
    if series and instance:
        url += f"/instances/{instance}"
    return {**row, RETRIEVE_URL: {"vr": "UR", "Value": [url]}}


def link_bulk_data(dataset: dict[str, Any], root: str) -> None:
    """Point each BulkDataURI of an instance's metadata to this service, in place.

    The path below ``/bulkdata/`` is that of the element: its tag, for an element in a sequence the tags and the
    numbers of the items from 0 on the way to it, joined by dots.

    Parameters
    ----------
    root
        URL of these services.
    """
    study, series, instance = (text(dataset, tag) for tag in (_STUDY_UID, _SERIES_UID, _INSTANCE_UID))
    base = f"{root}/studies/{study}/series/{series}/instances/{instance}/bulkdata/"
    for path, element in bulk_elements(dataset):
        element["BulkDataURI"] = base + path
    if RETRIEVE_URL in dataset:
        dataset[RETRIEVE_URL] = {"vr": "UR", "Value": [base.removesuffix("/bulkdata/")]}


def bulk_elements(dataset: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the elements of a dataset whose value is bulk data, with their paths, also those inside sequences."""
    for tag, element in dataset.items():
        if not isinstance(element, dict):
            continue
        if "BulkDataURI" in element:
            yield prefix + tag, element
        elif element.get("vr") == "SQ":
            for number, item in enumerate(element.get("Value") or ()):
                if isinstance(item, dict):
                    yield from bulk_elements(item, f"{prefix}{tag}.{number}.")

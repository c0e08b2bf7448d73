"""Replaces the PACS's RetrieveURL (0008,1190) by links to this service: callers cannot reach the PACS."""

import re
from collections.abc import Mapping
from typing import Any

RETRIEVE_URL = "00081190"
_REFERENCED = "00081199"
_RESOURCE = re.compile(r"/studies/([0-9.]+)(?:/series/([0-9.]+)(?:/instances/([0-9.]+))?)?/?$")


def with_own_links(dataset: Mapping[str, Any], base: str) -> dict[str, Any]:
    """Return the dataset with this service's links in place of the PACS's.

    Parameters
    ----------
    dataset
        A QIDO-RS row or a STOW-RS response, DICOM JSON Model.
    base
        URL of the API's stage.
    """
    changed = dict(dataset)
    if RETRIEVE_URL in changed:
        own = [link for url in changed[RETRIEVE_URL].get("Value", []) if (link := _own(str(url), base))]
        changed[RETRIEVE_URL] = {"vr": "UR", **({"Value": own} if own else {})}
    if _REFERENCED in changed:
        items = [with_own_links(item, base) for item in changed[_REFERENCED].get("Value", [])]
        changed[_REFERENCED] = {**changed[_REFERENCED], "Value": items}
    return changed


def _own(url: str, base: str) -> str | None:
    found = _RESOURCE.search(url)
    if not found:
        return None
    study, series, instance = found.groups()
    link = f"{base}/exams/studies/{study}/series"
    if series:
        link += f"/{series}/instances"
    return f"{link}/{instance}?fileType=application/dicom" if instance else link

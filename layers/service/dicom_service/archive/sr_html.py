"""A Structured Report as HTML: its content tree as nested lists."""

import html
from typing import Any


def to_html(tree: dict[str, Any]) -> str:
    """Return the tree of a `dicom_service.exams.report.Report`; what has no value and nothing below it is left out."""
    return f"<h3>{html.escape(tree['name'] or 'Report')}</h3>{_list(tree)}"


def _list(node: dict[str, Any]) -> str:
    entries = "".join(map(_entry, node["children"]))
    return f"<ul>{entries}</ul>" if entries else ""


def _entry(node: dict[str, Any]) -> str:
    value, below = " ".join(filter(None, (node["value"], node["unit"]))), _list(node)
    if not value and not below:
        return ""
    label = f"<b>{html.escape(node['name'])}</b> " if node["name"] else ""
    return f"<li>{label}{html.escape(value)}{below}</li>"

"""Vendor-specific deviations of a PACS, set by the operator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quirks:
    """Deviations of a PACS from the standard.

    Parameters
    ----------
    raw_query
        It does not percent-decode query values (Orthanc DICOMweb below 1.8). What would be encoded is sent as a
        wildcard, and rows are compared exactly on our side.
    no_fuzzy
        It rejects ``fuzzymatching`` instead of ignoring it.
    max_page
        It rejects a ``limit`` above this (200 for Azure): larger results are read page by page.
    """

    raw_query: bool = False
    no_fuzzy: bool = False
    max_page: int | None = None

    @classmethod
    def parse(cls, text: str) -> Quirks:
        """Read a setting such as ``raw-query,no-fuzzy,max-page=200``.

        Parameters
        ----------
        text
            Names separated by commas; empty for none.

        Raises
        ------
        ValueError
            A name is unknown or its number is none.
        """
        raw_query = no_fuzzy = False
        max_page: int | None = None
        for quirk in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = quirk.partition("=")
            if quirk == "raw-query":
                raw_query = True
            elif quirk == "no-fuzzy":
                no_fuzzy = True
            elif name == "max-page" and number.isascii() and number.isdigit() and int(number) > 0:
                max_page = int(number)
            else:
                raise ValueError(f"unknown PACS quirk {quirk!r}: known are raw-query, no-fuzzy, max-page=N")
        return cls(raw_query, no_fuzzy, max_page)

"""Collects what OHIF's bundles say of the packages that are in them: names, copyrights, licences.

The bundles are published with the comments of their sources, which is where most packages keep their notice. Read out,
they are one file to look at: ``/viewer/…/NOTICES.txt``.
"""

import re
from collections.abc import Iterable

_MODULE = re.compile(r"node_modules/(?:\.pnpm/[^/]+/node_modules/)?((?:@[\w.-]+/)?[\w.-]+)")
# A block, or lines that follow each other.
_COMMENT = re.compile(r"/\*(?:(?!\*/).)*\*/|(?:^[ \t]*//[^\n]*\n)+", re.S | re.M)
_NOTICE = re.compile(r"\bcopyright\b|\blicen[sc]ed?\b|SPDX-", re.I)
# What is longer is code between two marks.
_LONGEST = 12_000
_HEAD = """What the files of this folder contain beside OHIF itself (LICENSE.txt): the packages whose modules the
bundles name, and the notices that their sources carry, as they stand in the bundles."""


def notices(bundles: Iterable[str]) -> str:
    """Return the text of NOTICES.txt for bundles of JavaScript and style sheets."""
    packages: set[str] = set()
    found: dict[str, None] = {}
    for text in bundles:
        packages.update(_MODULE.findall(text))
        for comment in _COMMENT.findall(text):
            if len(comment) < _LONGEST and _NOTICE.search(comment):
                found.setdefault(_plain(comment))
    lines = "\n".join(f"  {name}" for name in sorted(packages))
    return "\n\n".join((_HEAD, f"Packages\n\n{lines}", "Notices", *found)) + "\n"


def _plain(comment: str) -> str:
    lines = [line.strip().removeprefix("/*").removesuffix("*/").strip("/*! \t\r") for line in comment.splitlines()]
    return "\n".join(f"  {line}".rstrip() for line in lines).strip("\n")

"""Try what this service needs of a PACS against one of your own, and print the report as a table in Markdown.

``make conformance PACS_URL=https://your.pacs/dicom-web`` reads only, and looks at one exam of the PACS. With STORE=1 it
stores a made-up exam (patient CONFORMANCE) first and looks at that one; DICOMweb has no way to delete it again.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dicomweb.auth import make_auth
from dicomweb.client import DicomwebClient, Quirks
from dicomweb.errors import DicomwebError
from tests.support.conformance import Failed, Subject, run, some_exam, store_exam, table


def client(environ: Mapping[str, str]) -> DicomwebClient:
    """Make the client that the variables describe; `PACS_SECRET_FILE` holds what the PACS's secret would."""
    secret = {"username": environ.get("PACS_USER", ""), "password": environ.get("PACS_PASSWORD", "")}
    if file := environ.get("PACS_SECRET_FILE"):
        secret = json.loads(Path(file).read_text())
    kind = environ.get("PACS_AUTH") or ("basic" if secret.get("username") else "none")
    return DicomwebClient(
        environ["PACS_URL"],
        auth=make_auth(kind, secret),
        quirks=Quirks.parse(environ.get("PACS_QUIRKS", "")),
        verify=environ.get("PACS_CA_BUNDLE") or True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--store", action="store_true", help="store a made-up exam and look at that one")
    parser.add_argument("--study", help="StudyInstanceUID of the exam to look at")
    options = parser.parse_args()
    if not os.environ.get("PACS_URL"):
        print("Name the PACS: make conformance PACS_URL=https://your.pacs/dicom-web", file=sys.stderr)
        return 2
    try:
        pacs = client(os.environ)
        study = store_exam(pacs) if options.store else options.study or some_exam(pacs)
    except (DicomwebError, Failed, ValueError) as error:
        print(f"The PACS cannot be tried: {error}", file=sys.stderr)
        return 2
    results = list(run(Subject(pacs, study, options.store)))
    print(table(results))
    return int(any(result.is_bad for result in results))


if __name__ == "__main__":
    sys.exit(main())

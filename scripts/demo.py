"""Uploads a sample exam, made of test files of pydicom, and prints a link by which anybody can look at it once.

    . local/.state/env && python -m scripts.demo        # `make demo` does this

The exam is one patient's who does not exist: X-ray, CT, MR, a moving ultrasound and a report.
"""

import argparse
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

SAMPLES = (
    ("examples_ybr_color.dcm", "Heart, moving"),
    ("RG3_J2KR.dcm", "X-ray"),
    ("693_J2KR.dcm", "CT, axial"),
    ("MR2_J2KR.dcm", "MR, sagittal"),
    ("reportsi.dcm", "Report"),
)
A_DAY = 86_400


def sample_exam(name: str = "Demo^Dora") -> Iterator[Dataset]:
    """Yield the instances of a new exam."""
    study, patient = generate_uid(), f"DEMO-{int(time.time())}"
    for number, (file, description) in enumerate(SAMPLES, start=1):
        dataset = dcmread(str(get_testdata_file(file)))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, generate_uid()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = patient, name, "19700131"
        dataset.StudyDate, dataset.StudyDescription, dataset.AccessionNumber = "20260131", "Sample exam", "DEMO"
        dataset.SeriesNumber, dataset.SeriesDescription = number, description
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.InstanceNumber = 1
        for other in ("IssuerOfPatientID", "OtherPatientIDs"):
            dataset.pop(other, None)
        yield dataset


def part10(dataset: Dataset) -> bytes:
    """Return an instance as a file."""
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def share(api_url: str, key: str, role: str) -> str:
    """Upload a new sample exam; return the link to it."""
    headers = {"Authorization": f"Bearer {key}"}
    study = ""
    for dataset in sample_exam():
        study = dataset.StudyInstanceUID
        files = {"file": part10(dataset)}
        requests.post(f"{api_url}/exams", files=files, headers=headers, timeout=60).raise_for_status()
    wishes = {"studyUID": study, "role": role, "expiresIn": A_DAY}
    issued = requests.post(f"{api_url}/otps", json=wishes, headers=headers, timeout=60)
    issued.raise_for_status()
    return str(issued.json()["link"])


def main() -> int:
    """Print the link."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--api-url", default=os.environ.get("API_URL"))
    parser.add_argument("--key", default=os.environ.get("SERVICE_KEY"))
    parser.add_argument("--role", choices=("patient", "diagnostic"), default="diagnostic", help="what the link opens")
    arguments = parser.parse_args()
    if not (arguments.api_url and arguments.key):
        env = Path("local/.state/env")
        parser.error(f"API_URL and SERVICE_KEY are not set; `make up` writes them to {env}")
    link = share(arguments.api_url.rstrip("/"), arguments.key, arguments.role)
    print(f"\nOpen this once, in a browser, within a day:\n\n  {link}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

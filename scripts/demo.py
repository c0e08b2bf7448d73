"""Fills the service with sample exams of pydicom and a worklist, and prints a link that opens one of them once.

    . local/.state/env && python -m scripts.demo        # `make demo` does this

The patients do not exist. The shared exam is new each time: X-ray, CT, MR, a moving ultrasound and a report. The
others, and the worklist of today, are made once.
"""

import argparse
import datetime
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
from pydicom.uid import UID, generate_uid

SAMPLES = (
    ("examples_ybr_color.dcm", "Heart, moving"),
    ("RG3_J2KR.dcm", "X-ray"),
    ("693_J2KR.dcm", "CT, axial"),
    ("MR2_J2KR.dcm", "MR, sagittal"),
    ("reportsi.dcm", "Report"),
)
A_DAY = 86_400
# Exams beside it: patient, born, made, description, file.
OTHERS = (
    ("Rossi^Anna", "19580412", "20260112", "Head", "CT_small.dcm"),
    ("Weber^Jonas", "19910703", "20260114", "Abdomen", "examples_overlay.dcm"),
    ("Lefèvre^Chloé", "20030921", "20260119", "Echocardiography", "examples_palette.dcm"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "19470215", "20260121", "Whole body", "JPGExtended.dcm"),
    ("García^Lucía", "19760630", "20260127", "Knee", "MR_small.dcm"),
)
# Workitems of today: time, station, modality, procedure, index of the patient above.
PLANNED = (
    ("0830", "CT1", "CT", "CT head, control", 0),
    ("0910", "CT1", "CT", "CT thorax", 3),
    ("0945", "MR1", "MR", "MR knee", 4),
    ("1030", "US1", "US", "US abdomen", 1),
    ("1115", "MR1", "MR", "MR heart", 2),
)
_DUPLICATE = 409


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


def _lasting_uid(*names: str) -> UID:
    """Return a UID that is the same each time, so that what it names is made once."""
    return UID(generate_uid(entropy_srcs=["dicom-service demo", *names]))


def other_exams() -> Iterator[Dataset]:
    """Yield the instances of the exams that fill the lists."""
    for number, (name, born, made, description, file) in enumerate(OTHERS, start=1):
        dataset = dcmread(str(get_testdata_file(file)))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _lasting_uid(name, "study"), _lasting_uid(name, "series")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = _lasting_uid(name, "instance")
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = f"DEMO-0{number}", name, born
        dataset.StudyDate, dataset.StudyDescription, dataset.AccessionNumber = made, description, f"DEMO-A{number}"
        for other in ("IssuerOfPatientID", "OtherPatientIDs"):
            dataset.pop(other, None)
        yield dataset


def workitems(day: datetime.date) -> Iterator[dict[str, str]]:
    """Yield the worklist of a day."""
    for number, (time_of_day, station, modality, procedure, patient) in enumerate(PLANNED, start=1):
        name, born, *_ = OTHERS[patient]
        yield {
            "StudyInstanceUID": _lasting_uid("workitem", day.isoformat(), str(number)),
            "AccessionNumber": f"D{day:%y%m%d}-{number}",
            "PatientID": f"DEMO-0{patient + 1}",
            "PatientName": name,
            "PatientBirthDate": born,
            "Modality": modality,
            "ScheduledStationAETitle": station,
            "ScheduledProcedureStepDescription": procedure,
            "ScheduledProcedureStepStartDate": day.isoformat(),
            "ScheduledProcedureStepStartTime": time_of_day,
        }


def fill(api_url: str, key: str, day: datetime.date | None = None) -> None:
    """Make the exams and the worklist of a day, today's unless another is given, where they are not there yet."""
    headers = {"Authorization": f"Bearer {key}"}
    for dataset in other_exams():
        files = {"file": part10(dataset)}
        requests.post(f"{api_url}/exams", files=files, headers=headers, timeout=60).raise_for_status()
    for item in workitems(day or datetime.date.today()):
        answer = requests.post(f"{api_url}/workitems", json=item, headers=headers, timeout=60)
        if answer.status_code != _DUPLICATE:
            answer.raise_for_status()


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
    """Fill the service, and print the link."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--api-url", default=os.environ.get("API_URL"))
    parser.add_argument("--key", default=os.environ.get("SERVICE_KEY"))
    parser.add_argument("--role", choices=("patient", "diagnostic"), default="diagnostic", help="what the link opens")
    arguments = parser.parse_args()
    if not (arguments.api_url and arguments.key):
        env = Path("local/.state/env")
        parser.error(f"API_URL and SERVICE_KEY are not set; `make up` writes them to {env}")
    api_url = arguments.api_url.rstrip("/")
    fill(api_url, arguments.key)
    link = share(api_url, arguments.key, arguments.role)
    print(f"\nOpen this once, in a browser, within a day:\n\n  {link}\n")
    print(f"It and {len(OTHERS)} others, and a worklist, are at the desk:\n\n  {api_url}/desk\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

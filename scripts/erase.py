"""Erases the service's data of a study or of a patient, and prints a receipt (docs/security.md, "Erasure").

::

    python -m scripts.erase --study 1.2.3 --dry-run
    python -m scripts.erase --patient P1 --issuer HOSPITAL --receipt receipt.json
    python -m scripts.erase --patient P1 --word "MUELLER"    # and staged files in whose names or content this is

Delete the exam in the PACS first: this does not. Uses the AWS credentials and the region of the environment, which need
to read and change every table and bucket of the stack; ``--stack`` names the CloudFormation stack. Run it again when it
was interrupted, or when uploads were under way.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import boto3

from dicom_service.erasure.places import Places
from dicom_service.erasure.run import erase
from dicom_service.erasure.subject import Request
from dicom_service.errors import ServiceError
from dicom_service.otp.keyring import Keyring
from dicom_service.patient import Patient, PatientHasher
from dicomweb.uid import is_uid

# A shorter word would be in many patients' files.
SHORTEST_WORD = 4


def places_of(stack: str) -> Places:
    """Return the tables, buckets and queues of a stack."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    given = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])}
    return Places.of(outputs, given)


def read_request(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Request]:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="erase", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="dicom-service")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--study", help="StudyInstanceUID")
    what.add_argument("--patient", help="PatientID")
    parser.add_argument("--issuer", help="IssuerOfPatientID; what names no issuer counts as this one's")
    parser.add_argument("--word", action="append", default=[], help="also what has this word in it; may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="count, change nothing")
    parser.add_argument("--receipt", type=Path, help="write the receipt to this file as JSON")
    given = parser.parse_args(arguments)
    if given.study is not None and (not is_uid(given.study) or given.issuer is not None):
        parser.error("--study takes a UID, and no --issuer")
    if given.patient is not None and not given.patient.strip():
        parser.error("--patient is blank")
    if any(len(word.strip()) < SHORTEST_WORD for word in given.word):
        parser.error(f"--word takes {SHORTEST_WORD} characters or more")
    patient = Patient.of(given.patient, given.issuer) if given.patient else None
    return given, Request(given.study, patient, tuple(given.word))


def main(arguments: Sequence[str] | None = None) -> int:
    """Erase and print the receipt; return 0 when all is gone, 1 when something stays, 2 when it has to be run again."""
    given, request = read_request(arguments)
    places = places_of(given.stack)
    hasher = PatientHasher(Keyring.of(places.patient_keys))
    by = boto3.client("sts").get_caller_identity()["Arn"]
    try:
        receipt = erase(places, request, hasher, by=by, stack=given.stack, rehearsal=given.dry_run)
    except ServiceError as error:
        print(f"not finished: {error.detail}", file=sys.stderr)
        return 2
    if given.receipt:
        given.receipt.write_text(receipt.to_json() + "\n")
    print(receipt.to_text())
    return 1 if any(receipt.left.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

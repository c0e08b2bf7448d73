"""Indexes the one-time passwords of an earlier version by study, so that they are listed and revoked with it.

::

    python -m scripts.index_otps

Run it once after the upgrade; running it again is harmless. Uses the AWS credentials and the region of the environment;
``--stack`` names the CloudFormation stack.
"""

import argparse
import sys
from typing import Any

import boto3

from dicom_service import aws
from dicom_service.otp.model import Otp
from dicom_service.otp.subjects import subject_rows
from scripts.redrive import outputs


def index(dynamodb: Any, otps: str, subjects: str) -> int:
    """Write the index rows of each code; return the number of codes."""
    count = 0
    for page in dynamodb.get_paginator("scan").paginate(TableName=otps):
        for row in page["Items"]:
            for item in subject_rows(Otp.from_row(aws.from_item(row))):
                dynamodb.put_item(TableName=subjects, Item=item)
            count += 1
    return count


def main() -> int:
    """Index the codes of a stack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="dicom-service")
    names = outputs(parser.parse_args().stack)
    count = index(boto3.client("dynamodb"), names["OtpsTable"], names["OtpSubjectsTable"])
    print(f"{count} one-time passwords are found by their study")
    return 0


if __name__ == "__main__":
    sys.exit(main())

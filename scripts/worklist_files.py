"""Writes every worklist file (.wl) again, from the current Workitems table.

::

    python -m scripts.worklist_files

For a note in ``UnwrittenWorklistFilesQueue``, an emptied folder or bucket, or a stream that was lost. Uses the AWS
credentials and the region of the environment; ``--stack`` names the CloudFormation stack.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import boto3

KEY = "StudyInstanceUID"
# An asynchronous invocation takes 256 KB at most.
BATCH = 100


def studies_in(dynamodb: Any, table: str) -> Iterator[str]:
    """Yield the study of every row of the Workitems table."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ProjectionExpression=KEY)
    return (row[KEY]["S"] for page in pages for row in page["Items"])


def refresh(functions: Any, function: str, studies: Iterable[str]) -> int:
    """Let the function write or remove the files of these studies, in the background; return the number of studies.

    It gets the event that the table's stream would send, and reads the rest from the table.
    """
    count = 0
    remaining = iter(studies)
    while batch := list(itertools.islice(remaining, BATCH)):
        records = [{"dynamodb": {"Keys": {KEY: {"S": study}}, "SequenceNumber": "0"}} for study in batch]
        payload = json.dumps({"Records": records}).encode()
        functions.invoke(FunctionName=function, InvocationType="Event", Payload=payload)
        count += len(batch)
    return count


def main() -> int:
    """Refresh all files of a stack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="dicom-service")
    stack = boto3.client("cloudformation").describe_stacks(StackName=parser.parse_args().stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    if "WorklistFilesFunction" not in outputs:
        print("This stack writes no worklist files (the parameter WorklistFiles).", file=sys.stderr)
        return 1
    studies = studies_in(boto3.client("dynamodb"), outputs["WorkitemsTable"])
    print(f"{refresh(boto3.client('lambda'), outputs['WorklistFilesFunction'], studies)} worklist files on their way")
    return 0


if __name__ == "__main__":
    sys.exit(main())

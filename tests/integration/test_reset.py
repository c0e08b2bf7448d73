"""What `make down` keeps and `make reset` forgets, of both servers of a local stack."""

import boto3
import pytest
import requests

from local.__main__ import down, reset
from local.stack import LocalStack
from tests.support.stack import temporary_settings
from tests.support.upload_files import dicom


def _start(stack: LocalStack) -> None:
    stack.settings.prepare()
    stack.orthanc.start()
    stack.ministack.start()


def _exams(stack: LocalStack) -> int:
    pacs = stack.orthanc.pacs()
    return len(requests.get(f"{stack.orthanc.url}/studies", auth=(pacs.user, pacs.password), timeout=30).json())


def _buckets(stack: LocalStack) -> list[str]:
    settings = stack.settings.aws_environment()
    client = boto3.client(
        "s3",
        endpoint_url=stack.settings.endpoint,
        region_name=settings["AWS_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )
    if not client.list_buckets()["Buckets"]:
        client.create_bucket(Bucket="kept")
        return []
    return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def test_down_keeps_what_was_stored_and_reset_forgets_it(capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings() as settings:
        stack = LocalStack(settings)
        try:
            # GIVEN an exam in the PACS and a bucket
            _start(stack)
            pacs = stack.orthanc.pacs()
            auth = pacs.user, pacs.password
            requests.post(f"{stack.orthanc.url}/instances", dicom(1), auth=auth, timeout=30).raise_for_status()
            assert (_exams(stack), _buckets(stack)) == (1, [])
            # WHEN both are stopped and started THEN both are there
            down(stack)
            assert "Stopped MiniStack and Orthanc" in capsys.readouterr().out
            _start(stack)
            assert (_exams(stack), _buckets(stack)) == (1, ["kept"])
            # WHEN what is stored is forgotten THEN nothing runs, and after a start both are empty
            reset(stack)
            assert "forgotten" in capsys.readouterr().out
            assert (stack.orthanc.pid, stack.ministack.pid) == (None, None)
            assert list(settings.state.iterdir()) == []
            _start(stack)
            assert (_exams(stack), _buckets(stack)) == (0, [])
        finally:
            stack.down()

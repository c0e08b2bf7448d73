"""The comparison of calls and roles finds what is missing and what is idle, and knows the template's roles."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import iam_calls
from tests.support.iam_calls import (
    Accepted,
    Right,
    granted,
    load_baseline,
    missing,
    reason,
    recorded,
    unused,
    used_before,
)

LIST = (
    "dicom-service-GetUploadRole-2F8A",
    "dynamodb:Query",
    "arn:aws:dynamodb:r:1:table/dicom-service-UploadsTable-9C",
)


def record(folder: Path, *calls: tuple[str, str, str]) -> set[Right]:
    lines = "".join(json.dumps([*call, "Allow"]) + "\n" for call in calls)
    (folder / "1.jsonl").write_text(lines)
    return recorded(folder)


@pytest.mark.parametrize(
    ("arn", "resource"),
    [
        (
            "arn:aws:dynamodb:r:1:table/dicom-service-UploadsTable-9/index/OpenUploads",
            "UploadsTable/index/OpenUploads",
        ),
        ("arn:aws:s3:::dicom-service-stagingbucket-1a2b/drop/*", "StagingBucket/drop/*"),
        ("arn:aws:secretsmanager:r:1:secret:dicom-service-PacsSecret-1A-aBcDeF", "PacsSecret"),
        ("arn:aws:sqs:r:1:dicom-service-IngestQueue-1A2B", "IngestQueue"),
        ("arn:aws:events:r:1:event-bus/dicom-service", "EventBus"),
        ("arn:aws:s3:::of-somebody-else/x", "arn:aws:s3:::of-somebody-else/x"),
    ],
)
def test_a_resource_has_the_name_of_the_template(tmp_path: Path, arn: str, resource: str) -> None:
    (call,) = record(tmp_path, ("dicom-service-GetUploadRole-2F8A", "a:B", arn))
    assert call == Right("GetUploadRole", "a:B", resource)


def test_what_the_roles_of_others_do_is_left_out_and_no_record_is_no_report(tmp_path: Path) -> None:
    assert record(tmp_path, ("of-a-test", "a:B", "*")) == set()
    (tmp_path / "1.jsonl").write_text("")
    with pytest.raises(ValueError, match="nothing was recorded"):
        recorded(tmp_path)


def test_a_call_without_a_grant_is_missing_and_a_grant_without_a_call_unused(tmp_path: Path) -> None:
    calls = record(tmp_path, LIST, ("dicom-service-GetUploadRole-2F8A", "sqs:SendMessageBatch", "arn:aws:sqs:r:1:q"))
    read, write = (
        Right("GetUploadRole", "dynamodb:Query", "UploadsTable"),
        Right("GetUploadRole", "s3:PutObject", "B/*"),
    )
    assert missing(calls, [read, write]) == [Right("GetUploadRole", "sqs:SendMessage", "arn:aws:sqs:r:1:q")]
    assert unused(calls, [read, write]) == [write]
    accepted = [Accepted("s3:*", "B/*", ("GetUpload*",), "for whoever does it")]
    assert (reason(write, accepted), reason(read, accepted)) == ("for whoever does it", None)


def test_a_right_of_the_template_that_a_call_needs_is_found(tmp_path: Path) -> None:
    calls = record(tmp_path, LIST)
    assert missing(calls, granted()) == []
    # AND without the statement it would be missing
    assert missing(calls, [grant for grant in granted() if grant.action != "dynamodb:Query"]) == sorted(calls)


def unexplained(grants: set[Right]) -> list[Right]:
    baseline, used = load_baseline(), used_before()
    assert len(used) > 250
    return sorted(grant for grant in grants if grant not in used and reason(grant, baseline) is None)


def test_a_right_that_no_test_used_has_a_reason() -> None:
    assert unexplained(granted()) == []
    # AND a new one would have none
    new = Right("GetUidRole", "dynamodb:DeleteItem", "UidsTable")
    assert unexplained({*granted(), new}) == [new]


def test_each_reason_is_for_a_right_that_exists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    grants = granted()
    assert len(grants) > 300
    assert [entry for entry in load_baseline() if not any(entry.covers(grant) for grant in grants)] == []
    without: list[dict[str, Any]] = [{"actions": ["a:B"], "resource": "*", "roles": ["*"], "reason": "because"}]
    monkeypatch.setattr(iam_calls, "BASELINE", tmp_path / "unused.yaml")
    (tmp_path / "unused.yaml").write_text(json.dumps(without))
    with pytest.raises(ValueError, match="a reason"):
        load_baseline()

"""What goes to the cache bucket, and what of it is held meanwhile."""

import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.exams.instance_cache import CacheSettings, InstanceCache, InstanceName

PART = 1_000_000


def test_a_part_that_was_sent_is_let_go_before_the_next_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []

    def upload_part(PartNumber: int, Body: bytes, **_: Any) -> dict[str, str]:
        sent.append((PartNumber, len(Body)))
        return {"ETag": "etag"}

    s3 = SimpleNamespace(
        create_multipart_upload=lambda **_: {"UploadId": "upload"},
        upload_part=upload_part,
        complete_multipart_upload=lambda **_: None,
    )
    monkeypatch.setattr(aws, "s3", lambda: s3)
    cache = InstanceCache(CacheSettings("cache"))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        cache.store(InstanceName("1.2", "1.3", "1.4"), (bytes(PART) for _ in range(5)), "label")
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert sent == [(number, PART) for number in range(1, 6)]
    assert most < 1.5 * PART

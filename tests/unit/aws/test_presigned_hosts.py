"""Where presigned requests go: the emulator has one host for all regions and can never show it."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from dicom_service import aws
from dicom_service.exams.instance_cache import CacheSettings, InstanceCache, InstanceName
from dicom_service.uploads.presigned_uploads import PresignedUploads

KINDS: dict[str, Callable[[], str]] = {
    "form": lambda: PresignedUploads(aws.s3(), "bucket").post("uploads/a", 10, None, 60)["url"],
    "part": lambda: PresignedUploads(aws.s3(), "bucket").parts("uploads/a", "id", 10, 60)[0]["url"],
    "report": lambda: PresignedUploads(aws.s3(), "bucket").report_url("reports/a"),
    "file": lambda: InstanceCache(CacheSettings("bucket")).url(InstanceName("1.2", "1.3", "1.4")),
}


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "af-south-1"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_host_is_the_buckets_in_its_region(monkeypatch: pytest.MonkeyPatch, kind: str, region: str) -> None:
    """The global host redirects a new bucket's requests, which breaks their signature; in af-south-1 for ever."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    aws.forget_clients()
    host = urlsplit(KINDS[kind]()).netloc
    assert host == ("bucket.s3.amazonaws.com" if region == "us-east-1" else f"bucket.s3.{region}.amazonaws.com")


def test_an_endpoint_of_a_local_store_keeps_the_bucket_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9400")
    aws.forget_clients()
    form = urlsplit(KINDS["form"]())
    assert (form.netloc, form.path) == ("127.0.0.1:9400", "/bucket")

"""A stack in front of a second real PACS, one that asks for a password and offers the minimum of DICOMweb."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.processes import free_ports
from local.settings import Settings
from local.stack import LocalStack
from local.tinypacs import TinyPacs
from tests.support.faults import FaultyProxy
from tests.support.stack import TEST_PARAMETERS, Stack

CREDENTIALS = ("reader", 'quoted "words" and $signs')


@pytest.fixture(scope="session")
def tiny_pacs() -> Iterator[FaultyProxy]:
    """A proxy in front of the PACS, which asks for a password and counts requests."""
    with tempfile.TemporaryDirectory(prefix="dicom-service-tiny-") as folder:
        pacs = TinyPacs(Path(folder))
        pacs.start()
        try:
            with FaultyProxy(pacs.pacs.url, basic=CREDENTIALS) as proxy:
                yield proxy
        finally:
            pacs.stop()


@pytest.fixture(scope="session")
def tiny_stack(tiny_pacs: FaultyProxy) -> Iterator[Stack]:
    """What `PACS_URL=… PACS_USER=… PACS_PASSWORD=… make up` starts, in a folder and on ports of its own."""
    with tempfile.TemporaryDirectory(prefix="dicom-service-tiny-") as folder:
        api, http, dicom = (str(port) for port in free_ports(3))
        named = {"PACS_URL": tiny_pacs.url, "PACS_USER": CREDENTIALS[0], "PACS_PASSWORD": CREDENTIALS[1]}
        ports = {"API_PORT": api, "ORTHANC_HTTP_PORT": http, "ORTHANC_DICOM_PORT": dicom}
        settings = Settings.from_environment(named | ports, Path(folder))
        local = LocalStack(replace(settings, parameters=TEST_PARAMETERS))
        try:
            yield Stack(local, local.up())
        finally:
            local.down()

"""The SDK that the service layer ships: only data of the services that are used."""

import re

from tests.support.aws_services import ROOT, services_used


def test_the_build_keeps_the_data_of_just_the_services_that_are_used() -> None:
    makefile = (ROOT / "layers/service/Makefile").read_text()
    kept = re.search(r"^AWS_SERVICES = (.+)$", makefile, re.M)
    assert kept
    assert len(services_used()) >= 5
    assert set(kept[1].split()) == services_used()

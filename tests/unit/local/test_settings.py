"""Which ports and which PACS the local stack takes."""

import stat
from pathlib import Path

import pytest

from local.settings import LocalStackError, Ports, Settings, write_private


def test_ports_come_from_variables_then_from_the_last_start_then_from_the_defaults(tmp_path: Path) -> None:
    remembered = tmp_path / "ports.json"
    Settings(tmp_path, Ports(api=9500)).prepare()

    assert Ports.choose({}, tmp_path / "none") == Ports()
    assert Ports.choose({}, remembered) == Ports(api=9500)
    assert Ports.choose({"API_PORT": "9600", "ORTHANC_HTTP_PORT": ""}, remembered) == Ports(api=9600)


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1", "80 81"])
def test_a_port_that_is_none_is_refused_by_name(text: str, tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="API_PORT"):
        Ports.choose({"API_PORT": text}, tmp_path / "none")


def test_a_pacs_of_ones_own_takes_the_place_of_orthanc() -> None:
    settings = Settings.from_environment(
        {"PACS_URL": "https://pacs.example/dicom-web/", "PACS_USER": "u", "PACS_PASSWORD": "p"}
    )

    assert settings.external_pacs is not None
    assert settings.external_pacs.url == "https://pacs.example/dicom-web"
    assert settings.external_pacs.auth == "basic"
    assert "password" not in repr(settings)
    assert Settings.from_environment({}).external_pacs is None


def test_secrets_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.touch(mode=0o644)

    write_private(path, "secret")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600

"""Which ports and which PACS the local stack takes."""

import stat
from pathlib import Path

import pytest
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

from local.deploy import override
from local.settings import ENV_FILE_NAMES, ORTHANC_USER, LocalStackError, Pacs, Ports, Settings, write_private
from local.stack import LocalStack


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


def test_a_shell_that_has_read_the_env_file_orders_the_same_stack_as_a_fresh_one(tmp_path: Path) -> None:
    # GIVEN what `make up` describes, all of it exported
    described = {name: f"http://127.0.0.1:9401/{name}" for name in ENV_FILE_NAMES}

    # THEN none of it is taken for an order
    assert Settings.from_environment(described, tmp_path) == Settings.from_environment({}, tmp_path)


def test_the_env_file_has_just_the_names_that_are_no_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = LocalStack(Settings(tmp_path, Ports(), Pacs("https://pacs.example", "u", "p")))
    monkeypatch.setattr(stack.deployment, "api_url", lambda: "http://127.0.0.1:9400/api")

    values = stack.values({"StagingBucket": "staging", "EventBus": "bus"})

    assert tuple(values) == ENV_FILE_NAMES
    assert values["STACK_PACS_URL"] == "https://pacs.example"


def test_the_own_orthanc_is_no_pacs_of_somebody_elses(tmp_path: Path) -> None:
    # GIVEN a shell that read an env file of an earlier version, which called the stack's own PACS PACS_URL
    own = {"PACS_URL": "http://127.0.0.1:9501/dicom-web", "PACS_USER": ORTHANC_USER, "PACS_PASSWORD": "p"}
    ports = {"ORTHANC_HTTP_PORT": "9501"}

    assert Settings.from_environment(own | ports, tmp_path).external_pacs is None
    # another clone's Orthanc, or another user's PACS at that port, is somebody else's
    assert Settings.from_environment(own, tmp_path).external_pacs is not None
    assert Settings.from_environment(own | ports | {"PACS_USER": "me"}, tmp_path).external_pacs is not None


def test_sam_understands_each_parameter() -> None:
    values = {"PacsQuirks": "", "PacsUrl": "http://127.0.0.1:1/a?b=c", "Words": 'two "words"', "List": "a,b=1"}

    arguments = tuple(override(name, value) for name, value in values.items())

    assert CfnParameterOverridesType().convert((" ".join(arguments),), None, None) == values
    assert CfnParameterOverridesType().convert((arguments,), None, None) == values


def test_secrets_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.touch(mode=0o644)

    write_private(path, "secret")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600

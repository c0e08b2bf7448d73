"""What `make up`, `make desk` and `make events` print: each line can be used as it stands."""

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
from pydicom.data import get_testdata_file

from local.__main__ import desk, up
from local.settings import ROOT
from tests.support.stack import Stack
from tests.support.worklist import new_workitem

_LINK = re.compile(r"http\S+#\S+")
# `python -m local.events`, for a stack in another folder.
_EVENTS = """
import signal, sys
from pathlib import Path
from local import events
from local.settings import Settings
settings = Settings.from_environment({}, Path(sys.argv[1]))
events.Settings.from_environment = staticmethod(lambda: settings)
# As in a terminal: a shell has its background programs ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(events.main())
"""


def _signs_in(link: str) -> bool:
    """Whether a link still signs in: what its page does."""
    page, _, code = link.partition("#")
    assert requests.get(page, timeout=30).status_code == 200
    return requests.post(page, data=code, timeout=30).status_code == 200


def test_up_prints_what_there_is_and_lines_to_try(
    stack: Stack, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # WHEN it is run again, with nothing to do
    up(stack.local)
    said = capsys.readouterr().out
    # THEN it names the service, the key and the PACS
    assert {stack.api_url, stack.service_key, stack.pacs.url} <= set(said.split())
    # AND the lines to try work in a shell
    lines = [line.strip() for line in said.partition("Try:")[2].splitlines() if line.strip()]
    assert len(lines) == 4
    (tmp_path / "CT_small.dcm").symlink_to(str(get_testdata_file("CT_small.dcm")))
    script = "\n".join(["set -e", *(line.replace("curl ", "curl -sS --fail ", 1) for line in lines)])
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert '"status"' in done.stdout
    # AND its link signs in, once
    [link] = _LINK.findall(said)
    assert [_signs_in(link), _signs_in(link)] == [True, False]


def test_desk_prints_another_link(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    links = []
    for _ in range(2):
        desk(stack.local)
        links += _LINK.findall(capsys.readouterr().out)
    assert len(set(links)) == 2
    assert [_signs_in(link) for link in links] == [True, True]


def test_events_are_shown_as_they_come_until_it_is_stopped(stack: Stack) -> None:
    command = [sys.executable, "-c", _EVENTS, str(stack.local.settings.state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as shown:
        waited_long_enough = threading.Timer(90, shown.kill)
        waited_long_enough.start()
        try:
            # GIVEN it is running WHEN something happens
            body = new_workitem()
            assert stack.request("POST", "/workitems", json=body).status_code == 200
            # THEN a line tells of it
            study = str(body["StudyInstanceUID"])
            assert shown.stdout is not None
            line = next(line for line in shown.stdout if study in line)
            assert "Workitem" in line
            # AND it ends as by Ctrl-C
            shown.send_signal(signal.SIGINT)
            assert shown.wait(30) == 0
        finally:
            waited_long_enough.cancel()
            shown.kill()

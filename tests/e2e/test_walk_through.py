"""The walk-through of README.md, line by line: its commands, in a shell, against the deployed service."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from local.settings import ROOT
from tests.support.exams import new_uid
from tests.support.stack import Stack

# What `curl` of the walk-through is here: the same, and its answer's status goes to a file.
CURL = """#!/bin/sh
exec {curl} -sS --max-time 120 -w '%{{stderr}}%{{method}} %{{http_code}}\\n' "$@" 2>> "$STATUSES"
"""
# `until_it_says WORD PATH` is the reader's patience.
SHELL = """
set -eo pipefail
until_it_says() {{
    for look in $(seq 150); do
        if {curl} -sS -H "$AUTH" "$API_URL$2" | grep -q "$1"; then return; fi
        sleep 0.4
    done
    echo "$2 never says $1" >&2
    exit 1
}}
"""
WAITS = {
    '    curl -H "$AUTH" "$API_URL/events"\n': "until_it_says COMPLETED '/workitems?patientID=1CT1&format=simple'\n",
    '    curl -H "$AUTH" "$API_URL/exams/studies/$STUDY/archive?redirect=false"': (
        'until_it_says \'"ready"\' "/exams/studies/$STUDY/archive?redirect=false"\n'
    ),
}


def commands() -> str:
    """Return the indented lines of the walk-through that are for a shell, with the waits that its words ask for."""
    [text] = re.findall(r"^## Walk-through\n(.*?)^## ", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    # tests/e2e/dicomweb has the three lines in Python.
    text = re.sub(r"^    (client|study)\b.*\n", "", text, flags=re.M)
    for line, wait in WAITS.items():
        assert text.count(line) == 1, line
        text = text.replace(line, f"    {wait}{line}")
    return "".join(re.findall(r"^    (.*\n)", text, re.M))


def of_its_own(script: str, folder: Path) -> str:
    """Put a file with UIDs and a patient of its own in place of pydicom's: other tests of the stack use that one."""
    path = str(get_testdata_file("CT_small.dcm"))
    dataset = dcmread(path)
    [copied] = re.findall(r"^cp .*CT_small\.dcm.*\n", script, re.M)
    script = script.replace(copied, "")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID"):
        own = new_uid()[:40]
        assert dataset[keyword].value in script
        script = script.replace(dataset[keyword].value, own)
        setattr(dataset, keyword, own)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(folder / "CT_small.dcm")
    return script


def test_the_walk_through_of_the_readme(stack: Stack, tmp_path: Path) -> None:
    curl = str(shutil.which("curl"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "curl").write_text(CURL.format(curl=curl))
    (tmp_path / "bin" / "curl").chmod(0o755)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "local" / ".state").mkdir(parents=True)
    values = "".join(f"{name}={shlex.quote(value)}\n" for name, value in stack.values.items())
    (tmp_path / "local" / ".state" / "env").write_text(values)
    script = SHELL.format(curl=curl) + of_its_own(commands(), tmp_path)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "STATUSES": str(tmp_path / "statuses"),
        "PYTHONPATH": str(ROOT),
    }

    run = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=180
    )

    answers = (tmp_path / "statuses").read_text()
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}\n{answers}"
    planned = ["POST 200"]
    uploaded = ["POST 200", "GET 200", "GET 200", "GET 200"]
    announced = ["GET 200", "GET 200"]
    shared = ["POST 201", "POST 200", "GET 200", "GET 403", "GET 200", "DELETE 204", "GET 401"]
    taken_home = ["POST 202", "GET 200", "GET 200"]
    viewed = ["POST 201", "POST 200"]
    assert answers.splitlines() == planned + uploaded + announced + shared + taken_home + viewed
    for name in ("thumbnail.jpg", "shared.jpg"):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "JPEG"
    assert (tmp_path / "exam" / "index.html").is_file()
    assert '"State": "COMPLETED"' in run.stdout or '"State":"COMPLETED"' in run.stdout
    assert re.search(r"1 instances of 1 studies", run.stdout)

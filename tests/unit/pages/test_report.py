"""What the upload engine reports of files that arrived."""

import json
import subprocess
from typing import Any

from playwright._impl._driver import compute_driver_executable

from web.engine import FOLDER


def report_after(answer: dict[str, Any], *files: dict[str, Any]) -> dict[str, Any]:
    """Return the report once the service has answered this of an upload with these files."""
    script = (
        f"const {{ Ledger }} = await import({json.dumps((FOLDER / 'ledger.js').as_uri())});\n"
        f"const {{ Follower }} = await import({json.dumps((FOLDER / 'follower.js').as_uri())});\n"
        "const nobody = { onFile() {}, onProgress() {} };\n"
        f"const ledger = new Ledger({{ files: {json.dumps(files)}, skipped: [] }}, nobody);\n"
        "for (const entry of ledger.entries) ledger.move(entry, 'sent', { uploadId: 'u1', fileId: entry.path });\n"
        f"const ask = async () => ({{ status: 200, json: {json.dumps(answer)} }});\n"
        "const follower = new Follower({ ledger, ask });\n"
        "await follower.follow('u1', ledger.entries);\n"
        "console.log(JSON.stringify(ledger.report()));"
    )
    command = [compute_driver_executable()[0], "--input-type=module", "--no-warnings"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_studies_of_a_zip_are_named_although_its_line_has_counts_alone() -> None:
    zipped = {"fileId": "exam.zip", "state": "stored", "entries": {"stored": 6, "skipped": 2}, "instances": 6}
    single = {"fileId": "IM1", "state": "stored", "studyInstanceUID": "1.2.3"}
    studies = [{"StudyInstanceUID": "1.2.3", "instances": 5}, {"StudyInstanceUID": "4.5", "instances": 2}]

    report = report_after(
        {"files": [zipped, single], "studies": studies},
        {"path": "exam.zip", "kind": "zip", "size": 9},
        {"path": "IM1", "kind": "dicom", "size": 1},
    )

    assert report["studies"] == ["1.2.3", "4.5"]
    assert report["counts"] == {"stored": 2}
    assert [file.get("entries") for file in report["files"]] == [{"stored": 6, "skipped": 2}, None]


def test_what_was_rejected_brings_no_study() -> None:
    rejected = {"fileId": "IM1", "state": "rejected", "reason": "TRUNCATED", "studyInstanceUID": "1.2.3"}

    report = report_after({"files": [rejected], "studies": []}, {"path": "IM1", "kind": "dicom", "size": 1})

    assert (report["studies"], report["counts"]) == ([], {"rejected": 1})

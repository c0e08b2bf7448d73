"""tiny_pacs: a PACS that implements the minimum of DICOMweb, beside Orthanc for the tests and the conformance report.

It searches, returns instances and stores; it has no metadata, no frames, no rendered pictures, and its searches return
neither counts nor ModalitiesInStudy. What is stored stays in its memory.
"""

import json
import os
from pathlib import Path

from local.processes import Server, free_ports, http_status
from local.settings import SHARED, LocalStackError, Pacs

ENVIRONMENT = SHARED / "tinypacs-env"
_LARGEST_REQUEST = 512 * 1024 * 1024


class TinyPacs:
    """One tiny_pacs, empty at each start.

    Parameters
    ----------
    folder
        Where its configuration and log go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = Server("tinypacs", folder)
        self._http_port, self._dicom_port = free_ports(2)

    @property
    def pacs(self) -> Pacs:
        return Pacs(f"http://127.0.0.1:{self._http_port}/dicomweb")

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = ENVIRONMENT / "bin" / "tiny-pacs"
        if not program.exists():
            raise LocalStackError(f"{ENVIRONMENT} is missing; local/bootstrap.sh makes it")
        configuration = self._folder / "tinypacs.yaml"
        configuration.write_text(json.dumps(self._configuration()))  # JSON is YAML
        self._server.start([str(program), "run", "-c", str(configuration)], os.environ, self._folder)
        self._server.wait_until(self._answers, seconds=30)

    def stop(self) -> bool:
        return self._server.stop()

    def _answers(self) -> bool:
        return http_status(f"{self.pacs.url}/studies?limit=1") == 204

    def _configuration(self) -> dict[str, object]:
        on = {"on": True}
        return {
            "ae": {"ae_title": "TINYPACS", "port": self._dicom_port},
            "log": {"version": 1, "root": {"level": "WARNING"}},
            "components": {
                "Database": on,
                "Devices": on,
                "PACS": on,
                # Without this it rejects instances that it has already, and so each repeated delivery.
                "InMemoryStorage": on | {"overwrite": True},
                "HttpServer": on | {"host": "127.0.0.1", "port": self._http_port},
                "DICOMWeb": on | {"prefix": "/dicomweb", "max_part_size": _LARGEST_REQUEST},
            },
        }

"""A whole local stack: a PACS, the cloud services, and the service deployed between them."""

import shlex
import shutil

from local import sign_ins
from local.deploy import LOCAL, Deployment
from local.ministack import MiniStack
from local.orthanc import Orthanc
from local.settings import ADMINISTRATOR, REGION, LocalStackError, Pacs, Settings, say, write_private
from scripts.worklist_files import refresh, studies_in


class LocalStack:
    """Starts, describes and stops one stack."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.orthanc = Orthanc(settings)
        self.ministack = MiniStack(settings)
        self.deployment = Deployment(settings)

    @property
    def pacs(self) -> Pacs:
        return self.settings.external_pacs or self.orthanc.pacs()

    def up(self) -> dict[str, str]:
        """Start what is not running, deploy what has changed; return the variables for scripts."""
        self.settings.prepare()
        self.ministack.require_ports()
        if self.settings.external_pacs:
            say(f"Using the PACS at {self.pacs.url}")
        else:
            self.orthanc.start()
            say(f"Orthanc answers on port {self.settings.ports.orthanc_http}")
        is_fresh = self.ministack.start()
        say(f"MiniStack answers on port {self.settings.ports.api}")
        outputs = self.deployment.ensure(self.pacs)
        self.deployment.wait_until_healthy()
        if is_fresh and not self.settings.external_pacs:
            self._refresh_worklist_files(outputs)
        values = self.values(outputs)
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        write_private(self.settings.env_file, "".join(lines))
        return values

    def desk_link(self) -> str:
        """Return a link that signs in to the desk with the local key, once.

        Raises
        ------
        LocalStackError
            Nothing is up.
        """
        if self.ministack.pid is None:
            raise LocalStackError("Nothing is up here: make up")
        session = {"accessToken": self.deployment.keys().service, "endsAt": None, "name": LOCAL, "role": "service"}
        code = self.ministack.sign_ins.register({"desk": f"{self.deployment.api_url()}/desk", "session": session})
        return f"{self.settings.endpoint}{sign_ins.PATH}#{code}"

    def down(self) -> list[str]:
        """Stop both servers; return the names of those that were running."""
        stopped = {"MiniStack": self.ministack.stop(), "Orthanc": self.orthanc.stop()}
        return [name for name, was_running in stopped.items() if was_running]

    def reset(self) -> None:
        """Stop, and delete everything that was stored; builds and installations stay."""
        self.down()
        for name in ("orthanc", "ministack"):
            shutil.rmtree(self.settings.state / name, ignore_errors=True)
        for name in ("env", "keys.json", "ports.json", "orthanc.log", "ministack.log"):
            (self.settings.state / name).unlink(missing_ok=True)

    def _refresh_worklist_files(self, outputs: dict[str, str]) -> None:
        """Bring Orthanc's worklist files in step with the table.

        What the stream had not shown yet when MiniStack stopped is lost, and killed hard its tables are older than
        the files.
        """
        in_table = studies_in(self.deployment.client("dynamodb"), outputs["WorkitemsTable"])
        studies = {*in_table, *(file.stem for file in self.orthanc.worklists.glob("*.wl"))}
        refresh(self.deployment.client("lambda"), outputs["WorklistFilesFunction"], sorted(studies))

    def values(self, outputs: dict[str, str]) -> dict[str, str]:
        """Return the variables for scripts, by the names of `ENV_FILE_NAMES`."""
        keys = self.deployment.keys()
        return {
            "API_URL": self.deployment.api_url(),
            "SERVICE_KEY": keys.service,
            "CALLBACK_KEY": keys.callback,
            "AUDITOR_KEY": keys.auditor,
            "STACK_PACS_URL": self.pacs.url,
            "STACK_PACS_USER": self.pacs.user,
            "STACK_PACS_PASSWORD": self.pacs.password,
            "AWS_ENDPOINT_URL": self.settings.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            **ADMINISTRATOR,
            "STAGING_BUCKET": outputs["StagingBucket"],
            "EVENT_BUS": outputs["EventBus"],
        }

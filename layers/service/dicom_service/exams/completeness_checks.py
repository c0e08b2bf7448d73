"""Checks: queued tasks to find out whether an exam is complete, processed by `announce_exam`.

A check is queued *before* the state that it is about is written. A function killed in between thus leaves one check too
many, which is harmless since a check reads the state and the PACS, and never one too few.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dicom_service import aws
from dicom_service.settings import setting

Reason = Literal["arrival", "session", "callback", "poll"]

LONGEST_DELAY = 900


@dataclass(frozen=True)
class CheckSettings:
    """The queue of checks."""

    queue_url: str = setting("EXAM_CHECKS_QUEUE_URL")


@dataclass(frozen=True)
class Check:
    """One exam to check.

    Parameters
    ----------
    study_instance_uid
        The exam.
    reason
        The event that led to the check.
    arrived_at
        For ``arrival``: when the instances arrived, in ms; a later arrival has a check of its own.
    instances
        For ``poll``: the number of instances then; a study that has grown since is left to the next poll.
    """

    study_instance_uid: str
    reason: Reason
    arrived_at: int | None = None
    instances: int | None = None

    def to_json(self) -> str:
        """Return the message body: UIDs and numbers only."""
        values = {
            "StudyInstanceUID": self.study_instance_uid,
            "reason": self.reason,
            "arrivedAt": self.arrived_at,
            "instances": self.instances,
        }
        return json.dumps({key: value for key, value in values.items() if value is not None}, separators=(",", ":"))

    @classmethod
    def from_message(cls, values: Mapping[str, Any]) -> "Check":
        """Return the check of a message body that was JSON."""
        return cls(values["StudyInstanceUID"], values["reason"], values.get("arrivedAt"), values.get("instances"))


class CheckQueue:
    """The queue in which checks wait until they are due."""

    def __init__(self, settings: CheckSettings) -> None:
        self._url = settings.queue_url

    @aws.errors("The arrival cannot be recorded at the moment; try again.")
    def enqueue(self, checks: Sequence[Check], *, delay: float = 0) -> None:
        """Queue checks to be made after `delay` seconds, 900 at most; repeating it is harmless."""
        seconds = min(LONGEST_DELAY, math.ceil(delay))
        aws.send_all(self._url, [check.to_json() for check in checks], delay=seconds)

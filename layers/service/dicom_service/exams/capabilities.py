"""What a PACS was found unable to do, remembered so that it is not asked again with every picture."""

import time
from collections.abc import Callable

FORGET_AFTER = 3600.0


class Capabilities:
    """Remembers services that a PACS answered 404, 405, 406 or 501 to.

    Kept in the function's memory: an upgraded PACS is asked again after an hour.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lacking: dict[str, float] = {}

    def may(self, service: str) -> bool:
        """Tell whether a service is worth asking for."""
        since = self._lacking.get(service)
        return since is None or self._clock() - since > FORGET_AFTER

    def lacks(self, service: str) -> None:
        """Remember that the PACS does not have a service."""
        self._lacking[service] = self._clock()

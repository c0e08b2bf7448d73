"""What a PACS was found unable to do, remembered so that it is not asked again with every picture."""

import time
from collections.abc import Callable

from dicomweb.errors import NotSupported

FORGET_AFTER = 3600.0
# These are about the service. 400, 406 and 415 may be about this one image: Orthanc renders many, JPEG 2000 not.
_NO_SUCH_SERVICE = frozenset({404, 405, 501})


class Capabilities:
    """Remembers services that a PACS answered 404, 405 or 501 to.

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

    def learn(self, service: str, error: NotSupported) -> None:
        """Remember that the PACS does not have a service, where the error says so."""
        if error.status in _NO_SUCH_SERVICE:
            self._lacking[service] = self._clock()

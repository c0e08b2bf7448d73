"""Caches which services the PACS does not have, so they are not tried again with every thumbnail."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dicomweb.errors import NotSupported

FORGET_AFTER = 3600.0
# These are about the service. 400, 406 and 415 may be about one image: Orthanc renders many, but not JPEG 2000.
_NO_SUCH_SERVICE = frozenset({404, 405, 501})


class Capabilities:
    """The services that the PACS has answered with 404, 405 or 501.

    They are kept in the function's memory for an hour, so an upgraded PACS is tried again.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unsupported: dict[str, float] = {}

    def supports(self, service: str) -> bool:
        """Return whether a service is worth a request."""
        since = self._unsupported.get(service)
        return since is None or self._clock() - since > FORGET_AFTER

    @contextmanager
    def assume_unsupported(self, service: str, error: NotSupported) -> Iterator[None]:
        """Treat a service as missing inside the block; remember it where the block succeeds, as `mark_unsupported`."""
        self._unsupported[service] = self._clock()
        try:
            yield
        finally:
            self._unsupported.pop(service, None)
        self.mark_unsupported(service, error)

    def mark_unsupported(self, service: str, error: NotSupported) -> None:
        """Remember that the PACS does not have a service, if the error's status means so."""
        if error.status in _NO_SUCH_SERVICE:
            self._unsupported[service] = self._clock()

"""The base of fakes that have only those methods of a `DicomwebClient` that a test needs, and pass for one."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    FakeClient: Any = object
else:
    FakeClient = object

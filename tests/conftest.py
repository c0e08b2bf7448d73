"""Fixtures of all tests."""

from tests.stack import orthanc, stack

__all__ = ["orthanc", "stack"]

"""The stack's functions with other variables, as a deployment with other parameters would give them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.stack import Stack


@contextmanager
def variables(stack: Stack, function: str, **changes: str) -> Iterator[str]:
    """Change variables of the one function whose name has this in it, and give its name.

    It starts anew, and once more afterwards.
    """
    functions = stack.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    [found] = [one for page in pages for one in page["Functions"] if function in one["FunctionName"]]
    before: dict[str, Any] = found["Environment"]["Variables"]

    def put(values: dict[str, Any]) -> None:
        functions.update_function_configuration(FunctionName=found["FunctionName"], Environment={"Variables": values})

    put(before | changes)
    try:
        yield str(found["FunctionName"])
    finally:
        put(before)

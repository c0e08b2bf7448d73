"""The deployed authorizer, which remembers keys for a minute."""

import secrets

from tests.support.stack import Stack


def renew_authorizer(stack: Stack) -> None:
    """Have the authorizer start anew, without the keys that it remembers for a minute."""
    functions = stack.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    [found] = [one for page in pages for one in page["Functions"] if "AuthorizeFunction" in one["FunctionName"]]
    variables = found["Environment"]["Variables"] | {"RENEWED": secrets.token_hex(4)}
    functions.update_function_configuration(FunctionName=found["FunctionName"], Environment={"Variables": variables})

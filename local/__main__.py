"""`python -m local up|desk|down|reset`: the local stack from the command line; the Makefile calls it."""

import argparse
import sys

from local.settings import LocalStackError, Settings, say
from local.stack import LocalStack

_UP = """
The service is up.

  API          {API_URL}
  service key  {SERVICE_KEY}
  PACS         {STACK_PACS_URL}

Bring exams in, find them, share them, in a browser (the link signs you in once, within an hour; another: make desk):

  {desk}

Fill it with sample exams and a worklist, and look at one exam as its patient would:

  make demo

Try:

  . {env_file}
  curl -H "Authorization: Bearer $SERVICE_KEY" -F file=@CT_small.dcm "$API_URL/exams"
  curl -H "Authorization: Bearer $SERVICE_KEY" "$API_URL/exams/studies?format=simple"
  curl "$API_URL/health"
"""


def up(stack: LocalStack) -> None:
    """Start the stack, deploy to it, and print how to use it."""
    values = stack.up()
    print(_UP.format(**values, desk=stack.desk_link(), env_file=stack.settings.env_file))


def desk(stack: LocalStack) -> None:
    """Print a link that signs a person in at the desk."""
    print(f"The desk; the link signs you in once, within an hour:\n\n  {stack.desk_link()}\n")


def down(stack: LocalStack) -> None:
    """Stop what is running; what is stored stays."""
    names = stack.down()
    say(f"Stopped {' and '.join(names)}" if names else "Nothing was running")


def reset(stack: LocalStack) -> None:
    """Stop what is running and delete all that is stored."""
    stack.reset()
    say("Stopped, and everything stored here is forgotten")


def main() -> int:
    """Run the command that is named; return the exit status, 1 where the stack reports an error."""
    commands = {"up": up, "desk": desk, "down": down, "reset": reset}
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("command", choices=commands)
    command = commands[parser.parse_args().command]
    try:
        command(LocalStack(Settings.from_environment()))
    except LocalStackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make events`: prints the change feed of the local stack, past and new events, until Ctrl-C."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from typing import Any

import requests

from local.settings import Settings

_PAUSE = 1.0


def follow(api_url: str, key: str) -> Iterator[dict[str, Any]]:
    """Yield every event of the feed, oldest first, and wait for more at its end."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    cursor = None
    while True:
        answer = session.get(f"{api_url}/events", params={"after": cursor} if cursor else {}, timeout=30)
        answer.raise_for_status()
        page = answer.json()
        yield from page["events"]
        cursor = page["next"]
        if not page["events"]:
            time.sleep(_PAUSE)


def line(event: dict[str, Any]) -> str:
    """Format an event as one line."""
    data = {name: value for name, value in event["data"].items() if name not in ("version", "eventId", "sequence")}
    return f"{event['data']['sequence']:>6}  {event['timestamp']}  {event['type']:<18} {json.dumps(data)}"


def main() -> int:
    settings = Settings.from_environment()
    if not settings.env_file.exists():
        print("The local stack is not up: make up", file=sys.stderr)
        return 1
    pairs = (word.partition("=") for word in shlex.split(settings.env_file.read_text()))
    values = {name: value for name, _, value in pairs}
    try:
        for event in follow(values["API_URL"], values["SERVICE_KEY"]):
            print(line(event), flush=True)
    except KeyboardInterrupt:
        return 0
    except requests.RequestException as error:
        print(f"The local stack does not answer ({type(error).__name__}): make up", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

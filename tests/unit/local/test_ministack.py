"""The state that MiniStack starts from."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.ministack import rewind_streams
from local.settings import LocalStackError


def test_readers_of_streams_begin_anew_and_all_else_stays(tmp_path: Path) -> None:
    # GIVEN the saved state of two readers that had read some records
    state = tmp_path / "lambda.json"
    positions = {"000000000000\0us-east-1\0'one'": 17, "000000000000\0us-east-1\0'two'": 3}
    payload: dict[str, Any] = {
        "esms": {"data": {"one": {"UUID": "one"}}},
        "dynamodb_stream_positions": {"__account_region_scoped__": True, "data": positions},
    }
    state.write_text(json.dumps({"__ministack_format__": 2, "payload": payload}))
    # WHEN the streams are rewound
    rewind_streams(state)
    # THEN both begin at the start
    payload["dynamodb_stream_positions"] |= {"data": dict.fromkeys(positions, 0)}
    assert json.loads(state.read_text()) == {"__ministack_format__": 2, "payload": payload}
    assert state.stat().st_mode & 0o777 == 0o600


def test_a_first_start_has_nothing_to_rewind(tmp_path: Path) -> None:
    rewind_streams(tmp_path / "lambda.json")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state", ['{"payload": {}}', '{"payload": null}', "[]"])
def test_a_state_of_another_shape_is_an_error_not_a_dead_stream(tmp_path: Path, state: str) -> None:
    (tmp_path / "lambda.json").write_text(state)

    with pytest.raises(LocalStackError, match="stream positions"):
        rewind_streams(tmp_path / "lambda.json")

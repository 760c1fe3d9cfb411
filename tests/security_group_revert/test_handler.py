"""Facts about the entry point: what it takes from its environment."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lambdas.security_group_revert import respond

from . import records

CONTEXT = SimpleNamespace(invoked_function_arn="arn:aws:lambda:us-east-1:111111111111:function:revert")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The handler, with the approved rules that the stack would write beside it."""
    found = importlib.import_module("lambdas.security_group_revert.handler")
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "0.0.0.0/0"}
    group = {"group_id_variable": "WEB_SERVER_GROUP_ID", "name": "Web Server", "ingress": [rule], "egress": None}
    (tmp_path / "approved.json").write_text(json.dumps([group]))
    monkeypatch.setattr(found, "__file__", str(tmp_path / "handler.py"))
    yield found
    sys.modules.pop(found.__name__)


@pytest.mark.parametrize(
    ("mode", "restore", "expected"),
    [("revert", "true", (True, True)), ("notify", "true", (False, True)), ("revert", "false", (True, False))],
)
def test_environment_decides(
    module: Any, monkeypatch: pytest.MonkeyPatch, mode: str, restore: str, expected: tuple[bool, bool]
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(respond.Responder, "respond", lambda *arguments: seen.extend(arguments))
    environment = {"TOPIC_ARN": "arn:topic", "MODE": mode, "RESTORE": restore, "WEB_SERVER_GROUP_ID": records.GROUP}
    environment |= {"STATE_TABLE": "state", "MAX_REVERTS": "3", "REVERT_WINDOW_HOURS": "2"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    module.handler(records.SWEEP, CONTEXT)
    responder, event, (group,) = seen
    assert (responder.change_rules, responder.restore) == expected
    assert (responder.max_reverts, responder.table.name, responder.table.window_seconds) == (3, "state", 7200)
    assert (responder.topic_arn, responder.account, event) == ("arn:topic", "111111111111", records.SWEEP)
    assert (group.group_id, group.name, len(group.ingress)) == (records.GROUP, "Web Server", 1)


@pytest.mark.reliability("security_group_revert", "Throttling", fault="EC2 refuses calls for a while")
def test_clients_retry_what_is_throttled_and_do_not_hang(module: Any) -> None:
    for client in (module.EC2, module.SNS):
        assert client.meta.config.retries["mode"] == "standard"
        assert client.meta.config.retries["total_max_attempts"] >= 6
        assert client.meta.config.read_timeout <= 10


def test_state_without_an_answer_keeps_no_revert_waiting_for_long(module: Any) -> None:
    config = module.DYNAMODB.meta.config
    longest = config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout)
    assert longest <= 10, f"{longest} s before the first call to EC2"

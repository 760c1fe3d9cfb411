"""The entry point: environment and clients."""

import importlib
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lambdas.security_group_revert.approved import ApprovedGroup, guarded_groups
from lambdas.security_group_revert.events import JsonObject
from lambdas.security_group_revert.rules import Rule

from ..conftest import ROOT
from . import records

CONTEXT = SimpleNamespace(invoked_function_arn="arn:aws:lambda:us-east-1:111111111111:function:revert")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package as the stack deploys it: with `approved.json`."""
    package = tmp_path / "security_group_revert"
    shutil.copytree(ROOT / "lambdas" / "security_group_revert", package)
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "0.0.0.0/0"}
    group = {"group_id_variable": "SAMPLE_GROUP_ID", "name": "Web Server", "ingress": [rule], "egress": None}
    (package / "approved.json").write_text(json.dumps([group]))
    return package


@pytest.fixture
def module(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The handler of the package, imported as Lambda does."""
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("SAMPLE_GROUP_ID", records.GROUP)
    yield importlib.import_module("security_group_revert.handler")
    logging.getLogger("security_group_revert").setLevel(logging.NOTSET)
    for name in [name for name in sys.modules if name.partition(".")[0] == "security_group_revert"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("mode", "restore", "expected"),
    [("revert", "true", (True, True)), ("notify", "true", (False, True)), ("revert", "false", (True, False))],
)
def test_handler_passes_environment_to_responder(
    module: Any, monkeypatch: pytest.MonkeyPatch, mode: str, restore: str, expected: tuple[bool, bool]
) -> None:
    arguments: list[Any] = []
    monkeypatch.setattr(module.Responder, "respond", lambda *values: arguments.extend(values))
    environment = {"TOPIC_ARN": "arn:topic", "MODE": mode, "RESTORE": restore}
    environment |= {"STATE_TABLE": "state", "MAX_REVERTS": "3", "REVERT_WINDOW_HOURS": "2", "LOG_LEVEL": "ERROR"}
    environment |= {"BREAK_GLASS_PRINCIPALS": '["arn:role"]', "BREAK_GLASS_MINUTES": "30"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    module.handler(records.SWEEP, CONTEXT)
    responder, event, (group,) = arguments
    assert (responder.change_rules, responder.restore) == expected
    assert (responder.max_reverts, responder.table.name, responder.table.window_seconds) == (3, "state", 7200)
    assert responder.break_glass == module.BreakGlass(["arn:role"], 1800)
    assert (responder.topic_arn, responder.account, event) == ("arn:topic", "111111111111", records.SWEEP)
    assert logging.getLogger("security_group_revert").level == logging.ERROR
    assert (group.group_id, group.name, len(group.ingress)) == (records.GROUP, "Web Server", 1)


def test_approved_rules_are_read_once(package: Path, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each event: reading 12,000 rules takes a tenth of a second, and longer with the function's memory."""
    (package / "approved.json").unlink()
    arguments: list[Any] = []
    monkeypatch.setattr(module.Responder, "respond", lambda *values: arguments.extend(values))
    for name in ("TOPIC_ARN", "MODE", "RESTORE", "STATE_TABLE"):
        monkeypatch.setenv(name, "")
    for name in ("MAX_REVERTS", "REVERT_WINDOW_HOURS", "BREAK_GLASS_MINUTES"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("BREAK_GLASS_PRINCIPALS", "[]")
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    module.handler(records.SWEEP, CONTEXT)
    assert [group.group_id for group in arguments[2]] == [records.GROUP]


@pytest.mark.reliability("security_group_revert", "Throttling", fault="EC2 throttles calls")
def test_clients_retry_throttling_within_timeouts(module: Any) -> None:
    for client in (module.EC2, module.SNS, module.EVENTS):
        assert client.meta.config.retries["mode"] == "standard"
        assert client.meta.config.retries["total_max_attempts"] >= 6
        assert client.meta.config.read_timeout <= 10


def test_unavailable_state_table_delays_reverts_by_seconds(module: Any) -> None:
    config = module.DYNAMODB.meta.config
    longest = config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout)
    assert longest <= 10, f"{longest} s before the first call to EC2"


def test_guarded_groups_reads_approved_file() -> None:
    rule: JsonObject = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "0.0.0.0/0"}
    sample: ApprovedGroup = {
        "group_id_variable": "WEB",
        "name": "Web Server",
        "ingress": [rule],
        "egress": None,
    }
    existing: ApprovedGroup = {
        "group_id": "sg-2",
        "name": "",
        "ingress": [],
        "egress": [rule],
        "optional_egress": [{"IpProtocol": "-1", "CidrIpv6": "::/0"}],
    }
    first, second = guarded_groups([sample, existing], {"WEB": "sg-1"})
    assert [r.is_egress for r in second.optional] == [True]
    assert (first.group_id, first.ingress, first.egress) == ("sg-1", (Rule.from_api(rule, is_egress=False),), None)
    assert second.egress is not None
    assert second.egress[0].is_egress

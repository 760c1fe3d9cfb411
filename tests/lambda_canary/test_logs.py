"""Log entries of the functions, which people query by their keys."""

from typing import Any

import pytest

from lambdas.lambda_canary import handler
from lambdas.lambda_canary.config import Config

from .fake_aws import FakeCloudWatch, FakeLambda
from .rollouts import CONFIG

KEYS = ("execution", "plan", "weight", "alias", "decision", "reason", "status")


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "LAMBDA", FakeLambda())
    monkeypatch.setattr(handler, "CLOUDWATCH", FakeCloudWatch())
    monkeypatch.setattr(Config, "load", lambda _: CONFIG)


def test_each_function_logs_what_it_has_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "lambdas.lambda_canary")
    plan = handler.check({"input": {"version": "2"}, "execution": "run"}, None)
    shift: Any = {"plan": plan, "weight": 0.25, "revision": plan["revision"], "execution": "run"}
    shifted = handler.shift(shift, None)
    step: Any = {"plan": plan, "weight": 0.25, "evaluation": 1, **shifted}
    line = handler.evaluate(step, None)["line"]
    handler.roll_back({"plan": plan, "execution": "run"}, None)
    entries = [{"message": r.message, **{key: vars(r)[key] for key in KEYS if key in vars(r)}} for r in caplog.records]
    assert entries == [
        {"message": "Planned the rollout", "execution": "run", "plan": plan},
        {
            "message": "Shifted",
            "execution": "run",
            "weight": 0.25,
            "alias": "alias live of shop: version 1, version 2 at 25%",
        },
        {"message": "Evaluated", "decision": "wait", "reason": line},
        {
            "message": "Rolled back",
            "execution": "run",
            "status": "rolled back",
            "alias": "alias live of shop: version 1",
        },
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "INFO", "WARNING"]

"""The report of a change set, in S3 and on the command line, and the exit status for continuous integration."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.deploy_pipeline import inspect_change_set
from lambdas.deploy_pipeline.inspection import Policy, findings
from lambdas.deploy_pipeline.report import markdown, put_report

from .changes import change, detail, update
from .fake_cloudformation import DENIED, FakeCloudFormation, error
from .machine_run import APP, FakeS3, Machine
from .scenarios import with_app

CHANGES = [
    change("Add", "New", "AWS::SNS::Topic"),
    change("Remove", "Old", "AWS::SNS::Topic"),
    change("Remove", "Kept", "AWS::SNS::Topic", PolicyAction="Retain"),
    change("Modify", "Replaced", Replacement="True", Details=[detail("Always")]),
    change("Modify", "Perhaps", Replacement="Conditional", Details=[detail("Conditionally")]),
    update("AWS::SQS::Queue", {"DelaySeconds": 1}, {"DelaySeconds": 2}, "Changed"),
    update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60}, "Lossy"),
    change("Modify", "CDKMetadata", "AWS::CDK::Metadata", Replacement="Conditional", Details=[detail("Conditionally")]),
    change("Remove", "Version1", "AWS::Lambda::Version"),
    change("Add", "Version2", "AWS::Lambda::Version"),
]


def report_of(*changes: Any, policy: Policy | None = None) -> str:
    return markdown(APP, list(findings(changes, policy or Policy())))


def test_report_lists_every_change_with_reason() -> None:
    policy = Policy(exempt_logical_ids=frozenset({"Kept"}))
    lines = report_of(*CHANGES, policy=policy).splitlines()
    assert lines[0] == f"# Changes to {APP}"
    assert lines[2] == (
        "4 unsafe, 3 accepted by the policy, 10 in total"
        " (3 removed, 1 replaced, 2 may be replaced, 1 loses data or protection, 1 changed, 2 added)."
    )
    assert [line for line in lines if line.startswith("## ")] == [
        "## Removed",
        "## Replaced",
        "## May be replaced",
        "## Loses data or protection",
        "## Changed",
        "## Added",
    ]
    for row in (
        "| Old | AWS::SNS::Topic | unsafe | it is deleted |",
        "| Kept | AWS::SNS::Topic | accepted: exempt resource | it is retained, but no longer part of the stack |",
        "| Version1 | AWS::Lambda::Version | accepted: superseded revision | it is deleted |",
        "| Replaced | AWS::SQS::Queue | unsafe | it is replaced because of QueueName |",
        "| CDKMetadata | AWS::CDK::Metadata | accepted: exempt type | it may be replaced because of QueueName |",
        "| Changed | AWS::SQS::Queue | safe | DelaySeconds (1 -> 2) |",
        "| New | AWS::SNS::Topic | safe |  |",
    ):
        assert row in lines
    assert "MessageRetentionPeriod 345600 -> 60 seconds" in "\n".join(lines)


def test_values_cannot_change_report_layout() -> None:
    hostile = "a|b`<img src=x>[x](http://x)"
    row = report_of(update("AWS::SQS::Queue", {"QueueName": hostile}, {"QueueName": "b"})).splitlines()[-1]
    assert row == "| Queue | AWS::SQS::Queue | safe | QueueName (a\\|b'&lt;img src=x>\\[x](http://x) -> b) |"


def test_backslash_does_not_undo_the_escaping() -> None:
    hostile = update("AWS::SQS::Queue", {"QueueName": "a"}, {"QueueName": r"\[x](http://x) \| safe"})
    row = report_of(hostile).splitlines()[-1]
    assert row.endswith(r"QueueName (a -> \\\[x](http://x) \\\| safe) |")


def test_report_is_stored_and_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    with_app(machine, *CHANGES)
    cause = machine.run().cause
    (key,) = [key for key in machine.s3.objects if key.startswith("inputs/reports/deploy-")]
    assert machine.s3.objects[key].decode().startswith(f"# Changes to {APP}")
    name = key.removeprefix("inputs/")
    url = f"https://us-east-1.console.aws.amazon.com/s3/object/inputs?region=us-east-1&prefix={name}"
    assert cause.startswith(f"5 unsafe changes to {APP}, which was not changed (all changes: {url} ):\n- ")
    machine.cloudformation.changes = [change()]
    updated = machine.run().output
    assert updated["summary"] == f"{APP} is updated. All changes: {updated['unsafe']['report']}"


@pytest.mark.parametrize(
    ("region", "host"),
    [("cn-north-1", "console.amazonaws.cn"), ("us-gov-west-1", "console.amazonaws-us-gov.com")],
)
def test_report_url_has_domain_of_partition(region: str, host: str) -> None:
    s3 = FakeS3()
    s3.meta = SimpleNamespace(region_name=region)
    assert put_report(s3, "b", "arn:aws:cloudformation:r:1:changeSet/deploy-1/2", "").startswith(
        f"https://{region}.{host}/s3/object/b?region={region}&prefix=reports/deploy-1.md"
    )


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="the report of a change set cannot be stored",
    expected="a safe update is executed, an unsafe one is reported without the link",
    observed="both; a warning in the log",
)
def test_deployment_continues_without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    fake = with_app(machine, change())
    store = machine.s3.put_object

    def fail_reports(Bucket: str, Key: str, **arguments: Any) -> None:
        if Key.startswith("reports/"):
            raise DENIED
        store(Bucket, Key, **arguments)

    monkeypatch.setattr(machine.s3, "put_object", fail_reports)
    assert machine.run().output["summary"] == f"{APP} is updated"
    fake.changes = [change("Remove")]
    assert machine.run().cause.startswith(f"1 unsafe change to {APP}, which was not changed:\n- ")


@pytest.fixture
def fake() -> FakeCloudFormation:
    cloudformation = FakeCloudFormation()
    cloudformation.add_stack(APP, "UPDATE_COMPLETE")
    cloudformation.create_change_set(StackName=APP, ChangeSetName="pr")
    return cloudformation


def test_command_exit_status_is_result(fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["pr", "--stack-name", APP]
    fake.changes = [change("Add")]
    assert inspect_change_set.main(arguments, fake) == 0
    assert capsys.readouterr().out == f"{APP}: no unsafe changes\n"
    fake.changes = [change("Remove")]
    assert inspect_change_set.main(arguments, fake) == 1
    assert capsys.readouterr().out == (
        f"1 unsafe change to {APP}, which was not changed:\n- Queue (AWS::SQS::Queue), Remove: it is deleted\n"
    )
    empty = "The submitted information didn't contain changes."
    fake.change_set = [{"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": empty}]
    assert inspect_change_set.main(arguments, fake) == 0
    assert capsys.readouterr().out == f"{APP}: no changes\n"
    fake.change_set = [{"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": "No such bucket"}]
    assert inspect_change_set.main(arguments, fake) == 2
    assert "No such bucket" in capsys.readouterr().err
    assert not fake.executed


def test_command_needs_no_stack_name_with_arn(fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str]) -> None:
    arn = fake.describe_change_set(ChangeSetName="pr", StackName=APP)["ChangeSetId"]
    fake.changes = [change("Add")]
    assert inspect_change_set.main([arn], fake) == 0
    assert capsys.readouterr().out == f"{APP}: no unsafe changes\n"
    assert inspect_change_set.main(["pr"], fake) == 2
    assert "--stack-name: missing" in capsys.readouterr().err


def test_command_waits_for_change_set(fake: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr("time.sleep", waits.append)
    pending = {"Status": "CREATE_PENDING", "ExecutionStatus": "UNAVAILABLE"}
    fake.change_set = [pending, pending, pending, *fake.change_set]  # the first one is read to find the ARN
    fake.changes = [change("Add")]
    assert inspect_change_set.main(["pr", "--stack-name", APP], fake) == 0
    assert waits == [5, 5]
    fake.change_set = [pending]
    assert inspect_change_set.main(["pr", "--stack-name", APP], fake) == 2


def test_command_applies_policy_and_appends_report(fake: FakeCloudFormation, tmp_path: Path) -> None:
    fake.changes = [change("Remove")]
    given, report = tmp_path / "input.json", tmp_path / "summary.md"
    given.write_text(json.dumps({"stackName": "app", "policy": {"exemptLogicalIds": ["Queue"]}}))
    report.write_text("before\n")
    arguments = ["pr", "--stack-name", APP, "--input", str(given), "--report", str(report)]
    assert inspect_change_set.main(arguments, fake) == 0
    assert report.read_text().startswith(f"before\n# Changes to {APP}\n")
    assert "accepted: exempt resource" in report.read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"policy": []}', "policy: given []; accepted: an object"),
        ('{"policy": {"dynamic": 1}}', "policy.dynamic: given 1; accepted: reject or allow"),
    ],
)
def test_command_names_invalid_input(
    fake: FakeCloudFormation, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "input.json").write_text(content)
    arguments = ["pr", "--stack-name", APP, "--input", str(tmp_path / "input.json")]
    assert inspect_change_set.main(arguments, fake) == 2
    assert message in capsys.readouterr().err
    assert inspect_change_set.main(["pr"], fake) == 2
    assert "--stack-name: missing" in capsys.readouterr().err
    assert inspect_change_set.main(["other", "--stack-name", APP], fake) == 2


REASONS = {
    "::error file=a.py::x": "- ::error file=a.py::x",
    "  ::add-mask::e": "-   ::add-mask::e",
    "\x1b[2K::stop-commands::x": " [2K::stop-commands::x",
    "\xa0::error::x": "-  ::error::x",
    "a ##[error]x": "a # #[error]x",
    "a ###vso[task.setvariable variable=x]y": "a # # #vso[task.setvariable variable=x]y",
    "a\u202eb\ud800": "a b ",
}


@pytest.mark.parametrize(("reason", "line"), REASONS.items())
@pytest.mark.parametrize("end", ["\n", "\r", "\u2028"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a template or a hook puts a command of a build service, or an escape sequence, into a reason",
    expected="the command line shows it as text",
    observed="no line begins with `::` or has `##` or a control character",
)
def test_command_prints_reasons_as_text(
    fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str], reason: str, line: str, end: str
) -> None:
    text = f"Failed:{end}{reason}{end}end"
    fake.change_set = [{"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": text}]
    assert inspect_change_set.main(["pr", "--stack-name", APP], fake) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert (first[-7:], second, third) == ("Failed:", line, "end")
    fake.failing["describe_change_set"] = [error("ValidationError", text)]
    assert inspect_change_set.main(["pr", "--stack-name", APP], fake) == 2
    assert capsys.readouterr().err.splitlines()[1] == line


def test_report_has_one_line_for_each_change() -> None:
    """The properties of a custom resource can have any names."""
    text = report_of(change(Replacement="True", Details=[detail("Always", name="a\r\r# 0 unsafe")]))
    assert len(text.splitlines()) == text.count("\n")


def test_command_help_describes_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        inspect_change_set.main(["--help"])
    assert caught.value.code == 0
    assert "Exit status: 0 if the change set is safe" in " ".join(capsys.readouterr().out.split())

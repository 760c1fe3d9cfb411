"""Settings of `CostControl`: principals that must not be denied are refused, and conflicts are reported."""

import pytest

from settings import Settings, SettingsError
from stacks.cost_control import CostControl

PREFIX = "cost_control:"
ENFORCE = {"mode": "enforce", "groups": ["developers"]}


def read(**values: object) -> Settings:
    return Settings.from_context({PREFIX + name: value for name, value in values.items()})


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        ("CostControl-UndoRole1A2B", "it belongs to the stack CostControl"),
        ("cdk-hnb659fds-deploy-role-111111111111-us-east-1", "the CDK deploys with it"),
        ("cdk-qualifier-cfn-exec-role-111111111111-eu-west-1", "the CDK deploys with it"),
        ("aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123456789abcdef", "only AWS can attach policies to it"),
        ("aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS", "only AWS can attach policies to it"),
        ("team/ops", "it is exempt"),
    ],
)
def test_role_that_must_work_is_rejected(role: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"cost_control:roles=.* cannot have {role}: {reason}"):
        read(roles=[role], exempt_principals=["role/ops"])


def test_exempt_group_is_rejected() -> None:
    with pytest.raises(SettingsError, match="cannot have admins: it is exempt, see cost_control:exempt_principals"):
        read(groups=["admins"], exempt_principals=["group/admins"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "enforce"}, "needs cost_control:groups=.* or cost_control:roles=.* for the action deny"),
        (ENFORCE | {"thresholds": [{"percent": 80}]}, "has no effect without an action in cost_control:thresholds"),
        (
            {"thresholds": [{"percent": 80}, {"percent": 80.0, "actions": ["stop"]}]},
            "a percent and kind more than once",
        ),
        ({"groups": ["a", "a"]}, "has a value more than once"),
        ({"exempt_principals": ["role/a", "role/team/A"]}, "has a value more than once"),
        ({"groups": ["a", "team/A"]}, "has a value more than once, with another path or case"),
        ({"roles": ["role/deployer"]}, 'write "deployer" instead of "role/deployer"'),
        ({"groups": ["group/a"]}, 'write "a" instead of "group/a"'),
        ({"tag": "project", "exempt_tag": "Project"}, "must differ from cost_control:tag"),
        ({"tag": "aws:createdBy"}, "not starting with aws:"),
        ({"project": " Beta"}, "no space at either end"),  # SNS rejects such a subject
        ({"project": "Beta "}, "no space at either end"),
        ({"thresholds": []}, "at least one item"),
        (
            {"thresholds": [{"percent": 80, "kind": "Actual"}]},
            r"thresholds\[0\].kind: invalid value \"Actual\" \(valid: 'ACTUAL'",
        ),
        ({"thresholds": [{"percent": 0}]}, "a number from 0.1 to 1000"),
        ({"groups": ["arn:aws:iam::111111111111:group/a"]}, "a name with its path"),
        ({"exempt_principals": ["alice"]}, "such as user/alice"),
        ({"amount": 0}, "a number from 1 to"),
    ],
)
def test_conflict_or_invalid_value_is_reported(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read(**values)


def test_defaults_only_report() -> None:
    settings = read().cost_control
    assert (settings.mode, settings.groups, settings.roles) == ("report", (), ())


def test_stack_name_of_the_refusal_is_the_stacks_name() -> None:
    from settings.cost_control import STACK

    assert CostControl.__name__ == STACK

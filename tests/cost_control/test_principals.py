"""Principals that must never be denied, by name: IAM names are unique in any path, whatever their case."""

import pytest

from lambdas.cost_control.principals import group_problem, role_problem

EXEMPT = ("user/team/Alice", "group/admins/Ops", "role/team/Deployer")


@pytest.mark.parametrize(
    ("group", "members", "problem"),
    [
        ("ops", (), "it is exempt"),
        ("any/path/OPS", (), "it is exempt"),
        ("project", ("bob", "ALICE", "alice"), "exempt users are members: ALICE, alice"),
        ("project", ("bob",), ""),
        ("ops/project", (), ""),
    ],
)
def test_exempt_group_or_member_is_found(group: str, members: tuple[str, ...], problem: str) -> None:
    assert group_problem(group, EXEMPT, members) == problem


@pytest.mark.parametrize(
    ("role", "problem"),
    [
        ("deployer", "it is exempt"),
        ("any/path/DEPLOYER", "it is exempt"),
        ("cdk-hnb659fds-deploy-role-111111111111-us-east-1", "the CDK deploys with it"),
        ("path/CDK-hnb659fds-cfn-exec-role-111111111111-us-east-1", "the CDK deploys with it"),
        ("costcontrol-StopRole-1", "it belongs to the stack CostControl"),
        (
            "aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
            "only AWS can attach policies to it",
        ),
        ("aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1", "only AWS can attach policies to it"),
        ("my-aws-reserved/role", ""),
        ("deployer/other", ""),
        ("costcontroller", ""),
    ],
)
def test_role_that_must_work_has_a_reason(role: str, problem: str) -> None:
    assert role_problem(role, "CostControl", EXEMPT) == problem

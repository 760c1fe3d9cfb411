"""Runs every walkthrough in the sandbox, step by step, then the printed usage and the protection of data."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.command_line.usage import usage
from sandbox.target import endpoints_of, target_of
from walkthroughs.catalog import WALKTHROUGHS
from walkthroughs.walkthrough import SkipStep, Step, Walkthrough

from ..conftest import ROOT, missing
from .conftest import deployable
from .walkthrough_faults import FAULTS


def step_id(system: str, step: Step) -> str:
    return f"{system}-{step.method.__name__}"


STEPS = [
    pytest.param(system, step, id=step_id(system, step), marks=FAULTS.get(step_id(system, step), []))
    for system, walkthrough in WALKTHROUGHS.items()
    for step in walkthrough.steps
]


@pytest.fixture(scope="module")
def walkthroughs(deployed: Sandbox) -> Iterator[Callable[[str], Walkthrough]]:
    """Return a function that returns the walkthrough of a system, and starts it at the first call."""
    started: dict[str, Walkthrough] = {}
    with ExitStack() as stack:

        def walkthrough(system: str) -> Walkthrough:
            if system not in started:
                started[system] = stack.enter_context(WALKTHROUGHS[system](target_of(deployed)))
            return started[system]

        yield walkthrough


def test_walkthrough_faults_name_existing_steps() -> None:
    assert not FAULTS.keys() - {step.id for step in STEPS}


@pytest.mark.enable_socket
@pytest.mark.parametrize(("system", "step"), STEPS)
def test_walkthrough(walkthroughs: Callable[[str], Walkthrough], system: str, step: Step) -> None:
    if system not in deployable():
        pytest.skip(missing("h2o"))
    try:
        observed = step.method(walkthroughs(system))
    except SkipStep as reason:
        pytest.skip(str(reason))
    assert observed, "the step returned no observation"


@pytest.mark.enable_socket
def test_usage_commands_succeed(deployed: Sandbox) -> None:
    lines = [line.strip() for line in usage(deployed, target_of(deployed), endpoints_of(deployed), deployable())]
    commands = [line for line in lines if line.startswith(("curl ", "dig ", "aws ", "sed "))]  # not Chromium
    assert len(commands) >= 8, f"too few commands: {commands}"
    for command in commands:
        if not shutil.which(command.split()[0]):
            print(f"skipped, because the program is not installed: {command}")
            continue
        done = subprocess.run(  # noqa: S602
            command, shell=True, cwd=ROOT, env=deployed.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert not command.startswith("curl") or "HTTP/2 200" in done.stdout, f"{command}\n{done.stdout}"
        assert "hypercorn" not in done.stdout, "AWS does not send this server header"
        assert done.stdout or command.startswith("sed"), f"{command} printed nothing"


@pytest.mark.enable_socket
def test_production_update_protects_stack_and_data(deployed: Sandbox) -> None:
    """Must be the last test of this sandbox, because it deletes the site's stack."""
    target = target_of(deployed)
    cloudformation, s3 = target.client("cloudformation"), target.client("s3")
    bucket = target.outputs("StaticSite")["BucketName"]
    deployed.deploy("StaticSite", settings={"production": "true"})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"], "the update to production emptied the bucket"
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        cloudformation.delete_stack(StackName="StaticSite")
    cloudformation.update_termination_protection(StackName="StaticSite", EnableTerminationProtection=False)
    cloudformation.delete_stack(StackName="StaticSite")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="StaticSite", WaiterConfig={"Delay": 1})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"], "the site's files were deleted"

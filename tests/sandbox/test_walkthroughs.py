"""Every walkthrough plays through in the sandbox, step by step; then comes what is tried afterwards."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.__main__ import endpoints_of, target_of
from sandbox.guide import guide
from walkthroughs.catalog import WALKTHROUGHS
from walkthroughs.walkthrough import SkipStep, Walkthrough

from ..conftest import ROOT, missing
from .conftest import deployable
from .walkthrough_faults import FAULTS

STEPS = [
    pytest.param(system, name, id=f"{system}-{name}", marks=FAULTS.get(f"{system}-{name}", []))
    for system, walkthrough in WALKTHROUGHS.items()
    for name, function in vars(walkthrough).items()
    if getattr(function, "is_step", False)
]


@pytest.fixture(scope="module")
def begun(deployed: Sandbox) -> Iterator[Callable[[str], Walkthrough]]:
    """Gives the walkthrough of a system, which begins when it is first asked for."""
    walkthroughs: dict[str, Walkthrough] = {}
    with ExitStack() as stack:

        def walkthrough(system: str) -> Walkthrough:
            if system not in walkthroughs:
                walkthroughs[system] = stack.enter_context(WALKTHROUGHS[system](target_of(deployed)))
            return walkthroughs[system]

        yield walkthrough


def test_walkthrough_faults_name_existing_steps() -> None:
    assert not FAULTS.keys() - {step.id for step in STEPS}


@pytest.mark.enable_socket
@pytest.mark.parametrize(("system", "step"), STEPS)
def test_walkthrough(begun: Callable[[str], Walkthrough], system: str, step: str) -> None:
    if system not in deployable():
        pytest.skip(missing("h2o"))
    try:
        seen = getattr(begun(system), step)()
    except SkipStep as reason:
        pytest.skip(str(reason))
    assert seen, "a step says what was seen"


@pytest.mark.enable_socket
def test_every_call_of_the_guide_can_be_copied(deployed: Sandbox) -> None:
    lines = [line.strip() for line in guide(deployed, target_of(deployed), endpoints_of(deployed), deployable())]
    calls = [line for line in lines if line.startswith(("curl ", "dig ", "aws ", "sed "))]  # Chromium needs a screen
    assert len(calls) >= 8, f"little to try: {calls}"
    for call in calls:
        if not shutil.which(call.split()[0]):
            print(f"not tried, for the program is missing: {call}")
            continue
        done = subprocess.run(  # noqa: S602
            call, shell=True, cwd=ROOT, env=deployed.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{call}\n{done.stderr}"
        assert not call.startswith("curl") or "HTTP/2 200" in done.stdout, f"{call}\n{done.stdout}"
        assert "hypercorn" not in done.stdout, "a header that AWS does not send"
        assert done.stdout or call.startswith("sed"), f"{call} printed nothing"


@pytest.mark.enable_socket
def test_production_keeps_stack_and_data_also_of_what_was_deployed_before(deployed: Sandbox) -> None:
    """The last test of this sandbox: the site's stack is gone after it."""
    target = target_of(deployed)
    cloudformation, s3 = target.client("cloudformation"), target.client("s3")
    bucket = target.outputs("StaticSite")["BucketName"]
    deployed.deploy("StaticSite", settings={"production": "true"})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"], "the change to production has emptied the bucket"
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        cloudformation.delete_stack(StackName="StaticSite")
    cloudformation.update_termination_protection(StackName="StaticSite", EnableTerminationProtection=False)
    cloudformation.delete_stack(StackName="StaticSite")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="StaticSite", WaiterConfig={"Delay": 1})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"], "the site's files are gone"

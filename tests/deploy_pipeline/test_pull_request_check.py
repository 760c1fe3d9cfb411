"""The GitHub Actions steps on the page: they end with the status of the inspection, and delete the change set.

Scripts stand in for the AWS CLI and Python.
"""

import os
import re
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from lambdas.deploy_pipeline.inspect_change_set import FAILED, SAFE, UNSAFE, _parser

PAGE = Path("docs/deploy_pipeline.md")
CHANGE_SET = "arn:aws:cloudformation:us-east-1:111111111111:changeSet/pr-7/1"
AWS = f"""#!/bin/sh
echo "$@" >> "$CALLS"
test "$2" != create-change-set || echo {CHANGE_SET}
"""
PYTHON = """#!/bin/sh
echo "$PWD $@" >> "$CALLS"
exit $STATUS
"""


def step() -> str:
    """Return the commands of the last step."""
    blocks = re.findall(r"```yaml\n.*?  - run: \|\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (commands,) = (block for block in blocks if "inspect_change_set" in block)
    return dedent(commands)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, script in (("aws", AWS), ("python", PYTHON)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "deploy").mkdir()
    return tmp_path


@pytest.mark.parametrize("status", [SAFE, UNSAFE, FAILED])
def test_step_ends_with_status_and_deletes_change_set(folder: Path, status: int) -> None:
    variables = {"GITHUB_RUN_ID": "7", "GITHUB_STEP_SUMMARY": "summary.md", "STATUS": str(status)}
    variables |= {"CALLS": str(folder / "calls"), "PATH": f"{folder}:{os.environ['PATH']}"}
    # GitHub Actions runs a step with these options.
    ended = subprocess.run(["/bin/bash", "-e", "-c", step()], cwd=folder, env=variables, check=False)
    assert ended.returncode == status
    created, inspected, deleted = (folder / "calls").read_text().splitlines()
    assert created.startswith("cloudformation create-change-set --stack-name prod-sample-app --change-set-name pr-7 ")
    working_directory, _, module, *arguments = inspected.split()
    assert (working_directory, module) == (str(folder / "deploy"), "lambdas.deploy_pipeline.inspect_change_set")
    options = _parser().parse_args(arguments)
    assert (options.change_set, options.report) == (CHANGE_SET, Path("summary.md"))
    assert deleted == f"cloudformation delete-change-set --change-set-name {CHANGE_SET}"

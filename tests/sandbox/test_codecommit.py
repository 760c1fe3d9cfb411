"""The sandbox's CodeCommit: a file that is put is a commit on the branch's last one."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.__main__ import session

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def commits(deployed: Sandbox) -> Any:
    return session(deployed).client("codecommit")


@pytest.fixture
def branch(deployed: Sandbox) -> Iterator[dict[str, str]]:
    """An empty repository's main."""
    name = f"repository-{uuid.uuid4().hex[:8]}"
    cloudformation = session(deployed).client("cloudformation")
    resource = {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": name}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Repository": resource}}))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    yield {"repositoryName": name, "branchName": "main"}
    cloudformation.delete_stack(StackName=name)


def test_files_put_one_after_the_other_are_both_there(commits: Any, branch: dict[str, str]) -> None:
    first = commits.put_file(**branch, filePath="a", fileContent=b"1")["commitId"]
    second = commits.put_file(**branch, filePath="b", fileContent=b"2", parentCommitId=first)["commitId"]
    assert commits.get_branch(**branch)["branch"]["commitId"] == second
    for path, content in (("a", b"1"), ("b", b"2")):
        found = commits.get_file(repositoryName=branch["repositoryName"], filePath=path)
        assert found["fileContent"] == content, f"{path} has {found['fileContent']!r}"


def test_put_needs_the_last_commit_and_a_change(commits: Any, branch: dict[str, str]) -> None:
    first = commits.put_file(**branch, filePath="a", fileContent=b"1")["commitId"]
    with pytest.raises(commits.exceptions.ParentCommitIdRequiredException):
        commits.put_file(**branch, filePath="a", fileContent=b"2")
    with pytest.raises(commits.exceptions.SameFileContentException):
        commits.put_file(**branch, filePath="a", fileContent=b"1", parentCommitId=first)
    commits.put_file(**branch, filePath="a", fileContent=b"2", parentCommitId=first)
    with pytest.raises(commits.exceptions.ParentCommitIdOutdatedException):
        commits.put_file(**branch, filePath="a", fileContent=b"3", parentCommitId=first)

"""The sandbox's CodeCommit: PutFile creates codecommit."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.target import session

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def codecommit(deployed: Sandbox) -> Any:
    return session(deployed).client("codecommit")


@pytest.fixture
def branch(deployed: Sandbox) -> Iterator[dict[str, str]]:
    """The branch main of an empty repository."""
    name = f"repository-{uuid.uuid4().hex[:8]}"
    cloudformation = session(deployed).client("cloudformation")
    resource = {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": name}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Repository": resource}}))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    yield {"repositoryName": name, "branchName": "main"}
    cloudformation.delete_stack(StackName=name)


def test_consecutive_put_file_calls_keep_both_files(codecommit: Any, branch: dict[str, str]) -> None:
    first = codecommit.put_file(**branch, filePath="a", fileContent=b"1")["commitId"]
    second = codecommit.put_file(**branch, filePath="b", fileContent=b"2", parentCommitId=first)["commitId"]
    assert codecommit.get_branch(**branch)["branch"]["commitId"] == second
    for path, content in (("a", b"1"), ("b", b"2")):
        file = codecommit.get_file(repositoryName=branch["repositoryName"], filePath=path)
        assert file["fileContent"] == content, f"{path} has {file['fileContent']!r}"


def test_put_file_requires_last_commit_and_change(codecommit: Any, branch: dict[str, str]) -> None:
    first = codecommit.put_file(**branch, filePath="a", fileContent=b"1")["commitId"]
    with pytest.raises(codecommit.exceptions.ParentCommitIdRequiredException):
        codecommit.put_file(**branch, filePath="a", fileContent=b"2")
    with pytest.raises(codecommit.exceptions.SameFileContentException):
        codecommit.put_file(**branch, filePath="a", fileContent=b"1", parentCommitId=first)
    codecommit.put_file(**branch, filePath="a", fileContent=b"2", parentCommitId=first)
    with pytest.raises(codecommit.exceptions.ParentCommitIdOutdatedException):
        codecommit.put_file(**branch, filePath="a", fileContent=b"3", parentCommitId=first)

"""CodeCommit: repositories of templates, and commits through the API.

A new repository contains the zip file that its template names. A commit updates its branch and sends "CodeCommit
Repository State Change" to the event bus. Not implemented: git, merges, pull requests, file modes, descriptions, lists$
of branches and commits.
"""

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import Any

from .emulator.json_protocol import ServiceError, register
from .ministack import eventbridge, s3
from .ministack.cloudformation import resource_handlers
from .ministack.requests import get_account_id, get_region


@dataclass
class Repository:
    """A repository: files and message of each commit, and the head of each branch."""

    name: str
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:codecommit:{get_region()}:{get_account_id()}:{self.name}"

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        """Create a commit with `files` as the complete content of the branch, and return its ID."""
        before = self.branches.get(branch)
        content = json.dumps([before, message, sorted((p, hashlib.sha1(f).hexdigest()) for p, f in files.items())])  # noqa: S324
        commit_id = hashlib.sha1(content.encode()).hexdigest()  # noqa: S324  # as git does
        self.commits[commit_id], self.messages[commit_id], self.branches[branch] = files, message, commit_id
        self._send_event(branch, before, commit_id)
        return commit_id

    def _send_event(self, branch: str, before: str | None, commit_id: str) -> None:
        detail = {
            "event": "referenceUpdated" if before else "referenceCreated",
            "repositoryName": self.name,
            "repositoryId": hashlib.md5(self.name.encode()).hexdigest(),  # noqa: S324
            "referenceType": "branch",
            "referenceName": branch,
            "referenceFullName": f"refs/heads/{branch}",
            "commitId": commit_id,
        } | ({"oldCommitId": before} if before else {})
        eventbridge.put_event("aws.codecommit", "CodeCommit Repository State Change", detail, self.arn)


REPOSITORIES: dict[str, Repository] = {}


def install() -> None:
    """Add the operations and the repository resource."""
    operations = {
        "GetBranch": _get_branch,
        "GetFile": _get_file,
        "CreateCommit": _create_commit,
        "PutFile": _put_file,
    }
    register("codecommit", "CodeCommit_20150413.", operations)
    resource_handlers["AWS::CodeCommit::Repository"] = {
        "create": _create,
        "update": lambda name, _old, _new, _stack: (name, _attributes(REPOSITORIES[name])),  # the code is initial
        "delete": lambda name, _properties: REPOSITORIES.pop(name.rpartition("/")[2], None),
    }


def source(repository_name: str, branch: str) -> tuple[str, str, bytes]:
    """Return the ID, the message and the zipped files of the last commit of a branch."""
    repository = _repository({"repositoryName": repository_name})
    commit_id = _commit_id(repository, branch)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in repository.commits[commit_id].items():
            archive.writestr(path, content)
    return commit_id, repository.messages[commit_id], buffer.getvalue()


def _create(_logical_id: str, properties: dict[str, Any], _stack: str) -> Any:
    name = properties["RepositoryName"]
    if name in REPOSITORIES:
        raise ValueError(f"Repository named {name} already exists")
    repository = REPOSITORIES[name] = Repository(name)
    code = properties.get("Code")
    if code:
        data = s3.get_object(code["S3"]["Bucket"], code["S3"]["Key"])
        with zipfile.ZipFile(io.BytesIO(data or b"")) as archive:
            files = {entry: archive.read(entry) for entry in archive.namelist() if not entry.endswith("/")}
        repository.commit(code.get("BranchName", "main"), files, "Initial commit by AWS CloudFormation")
    return name, _attributes(repository)


def _attributes(repository: Repository) -> dict[str, str]:
    url = f"git-codecommit.{get_region()}.amazonaws.com/v1/repos/{repository.name}"
    return {
        "Arn": repository.arn,
        "Name": repository.name,
        "CloneUrlHttp": f"https://{url}",
        "CloneUrlSsh": f"ssh://{url}",
    }


def _repository(request: dict[str, Any]) -> Repository:
    try:
        return REPOSITORIES[request["repositoryName"]]
    except KeyError:
        raise ServiceError("RepositoryDoesNotExistException", f"{request['repositoryName']} does not exist") from None


def _commit_id(repository: Repository, specifier: str) -> str:
    commit_id = repository.branches.get(specifier.removeprefix("refs/heads/"), specifier)
    if commit_id not in repository.commits:
        raise ServiceError("CommitDoesNotExistException", f"Branch or commit {specifier} does not exist")
    return commit_id


def _get_branch(request: dict[str, Any]) -> Any:
    repository, name = _repository(request), request["branchName"]
    if name not in repository.branches:
        raise ServiceError("BranchDoesNotExistException", f"{name} does not exist")
    return {"branch": {"branchName": name, "commitId": repository.branches[name]}}


def _get_file(request: dict[str, Any]) -> Any:
    repository = _repository(request)
    commit_id = _commit_id(repository, request.get("commitSpecifier") or next(iter(repository.branches)))
    content = repository.commits[commit_id].get(request["filePath"])
    if content is None:
        raise ServiceError("FileDoesNotExistException", f"{request['filePath']} does not exist")
    return {
        "commitId": commit_id,
        "blobId": hashlib.sha1(content).hexdigest(),  # noqa: S324
        "filePath": request["filePath"],
        "fileMode": "NORMAL",
        "fileSize": len(content),
        "fileContent": base64.b64encode(content).decode(),
    }


def _create_commit(request: dict[str, Any]) -> Any:
    return _commit(request, request.get("putFiles", []), request.get("deleteFiles", []), "NoChangeException")


def _put_file(request: dict[str, Any]) -> Any:
    return _commit(request, [request], [], "SameFileContentException")


def _commit(request: dict[str, Any], put: list[Any], delete: list[Any], unchanged: str) -> Any:
    """Create a commit that puts and deletes files, if the request has the ID of the branch's last commit.

    unchanged: the error if no file changes.
    """
    repository, branch = _repository(request), request["branchName"]
    last, parent = repository.branches.get(branch), request.get("parentCommitId")
    if last and parent != last:
        code = "ParentCommitIdOutdatedException" if parent else "ParentCommitIdRequiredException"
        raise ServiceError(code, f"The last commit of {branch} is {last}")
    before = repository.commits[last] if last else {}
    files = before | {file["filePath"]: base64.b64decode(file["fileContent"]) for file in put}
    for file in delete:
        files.pop(file["filePath"], None)
    if last and files == before:
        raise ServiceError(unchanged, "The commit does not change any file")
    commit_id = repository.commit(branch, files, request.get("commitMessage", ""))
    return {"commitId": commit_id, "treeId": commit_id}

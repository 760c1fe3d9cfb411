"""Inspect change sets on the command line, as a check of pull requests does."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from .deploy_pipeline_assembly import AssemblyWalkthrough
from .walkthrough import ROOT, Step

COMMAND = "lambdas.deploy_pipeline.inspect_change_set"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class PullRequestWalkthrough(AssemblyWalkthrough):
    """The whole walkthrough of `deploy_pipeline`, with the command that checks pull requests."""

    def pull_requests_are_checked(self) -> str:
        before = self._snapshot()
        longer = self._edited("VisibilityTimeout: 30", "VisibilityTimeout: 50")
        safe, unsafe = self._check("safe", longer), self._check("unsafe", self._without_subscription())
        assert safe == (0, f"{self.app}: no unsafe changes"), safe
        assert unsafe[0] == 1, f"exit status {unsafe[0]} of an unsafe change: {unsafe[1]}"
        reason = "- Subscription (AWS::SNS::Subscription), Remove: it is deleted"
        assert reason in unsafe[1], unsafe[1]
        missing = self._run_command(self.change_set, Path("report.md"))
        assert missing[0] == 2, f"exit status {missing[0]} of a change set that does not exist: {missing[1]}"
        assert self._snapshot() == before, "the stack was changed"
        self._check_no_leftover()
        return f'exit status 0: "{safe[1]}"; 1: "{unsafe[1]}"; 2, after the change set was deleted: "{missing[1]}"'

    steps = (
        *AssemblyWalkthrough.steps[:-1],
        Step("Check two pull requests on the command line", pull_requests_are_checked),
        AssemblyWalkthrough.steps[-1],
    )

    def _check(self, name: str, template: str) -> tuple[int, str]:
        """Create a change set, run the command, and delete the change set; return the exit status and the output."""
        self.change_set = self.cloudformation.create_change_set(
            StackName=self.app,
            ChangeSetName=f"pull-request-{name}-{int(time.time())}",
            IncludeNestedStacks=True,
            TemplateBody=template,
            Parameters=[{"ParameterKey": "environmentName", "ParameterValue": self.input["environmentName"]}],
        )["Id"]
        try:
            with TemporaryDirectory() as folder:
                report = Path(folder, "report.md")
                result = self._run_command(self.change_set, report)
                assert self.app in report.read_text(), "the report is not about the stack"
        finally:
            self.cloudformation.delete_change_set(ChangeSetName=self.change_set)
        return result

    def _run_command(self, change_set: str, report: Path) -> tuple[int, str]:
        source = self.target.session.get_credentials()
        assert source  # the earlier calls were signed with them
        frozen = source.get_frozen_credentials()
        inherited = {n: v for n, v in self.target.environment.items() if n not in (*CREDENTIALS, "AWS_PROFILE")}
        credentials = zip(CREDENTIALS, (frozen.access_key, frozen.secret_key, frozen.token), strict=True)
        region = self.target.session.region_name
        ended = subprocess.run(
            [sys.executable, "-m", COMMAND, change_set, "--region", region, "--report", str(report)],
            cwd=ROOT,
            env=inherited | {name: value for name, value in credentials if value},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, (ended.stdout + ended.stderr).strip()

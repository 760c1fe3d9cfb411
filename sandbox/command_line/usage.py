"""What `up` prints: how to connect to the sandbox, and commands to try."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from walkthroughs.failover_page import CLIENT
from walkthroughs.multi_region_api import CLIENT_ADDRESSES
from walkthroughs.walkthrough import LocalEndpoints, Target

from ..process import MAILBOX_HOST, Sandbox

VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION")
TEMPLATE = Path("assets/deploy_pipeline/app/template.yaml")
# A stack, and headings and commands with its outputs, and with what `usage` adds to them.
SYSTEM_USAGE = {
    "static_site": ("StaticSite", "The site (other paths work this way, too):\n  {curl} {Url}"),
    "multi_region_api": (
        "MultiRegionApi-us-east-1",
        """\
Call the API by its domain name:
  {curl} {Url}helloworld
Resolve the name as a client near us-west-2 (Debian package of dig: bind9-dnsutils):
  dig @127.0.0.1 -p {dns} +short +subnet={network}/24 {host}
Open the page in a separate Chromium, which resolves these names and accepts the certificates:
  chromium --user-data-dir={folder}/chromium --host-resolver-rules={rules} --ignore-certificate-errors {page}""",
    ),
    "deploy_pipeline": (
        "DeployPipeline",
        """\
Push a change to the pipeline, and show its state:
  sed 's/VisibilityTimeout: 30/VisibilityTimeout: 45/' {template} > {folder}/template.yaml
  aws codecommit put-file --repository-name {RepositoryName} --branch-name main --file-path template.yaml \
--file-content fileb://{folder}/template.yaml --parent-commit-id $(aws codecommit get-branch \
--repository-name {RepositoryName} --branch-name main --query branch.commitId --output text)
  aws codepipeline get-pipeline-state --name {PipelineName} --output table \
--query 'stageStates[].[stageName,latestExecution.status,actionStates[0].latestExecution.summary]'""",
    ),
    "security_group_revert": (
        "SecurityGroupRevert",
        """\
Add a rule that security_group_revert revokes, and list the rules:
  aws ec2 authorize-security-group-ingress --group-id {SampleGroupId} --protocol tcp --port 22 --cidr 198.51.100.7/32
  aws ec2 describe-security-group-rules --filters Name=group-id,Values={SampleGroupId} --output table""",
    ),
    "analytics_host": (
        "AnalyticsHost",
        """\
Run a query in the workgroup of analytics_host (RStudio and JupyterLab run only on AWS):
  aws athena get-query-results --query-execution-id $(aws athena start-query-execution --work-group {WorkGroupName} \
--query-execution-context Database={DatabaseName} --query-string 'SELECT 1 AS one' \
--query QueryExecutionId --output text)""",
    ),
    "cost_control": (
        "CostControl",
        """\
Undo what cost_control has done, and read its record (its walkthrough spends more than the budget):
  aws stepfunctions start-execution --state-machine-arn {ReleaseArn}
  aws dynamodb scan --table-name {RecordTableName} --query 'Items[].[period.S,item.S,status.S]' --output table""",
    ),
}


def usage(sandbox: Sandbox, target: Target, endpoints: LocalEndpoints, systems: Iterable[str]) -> Iterator[str]:
    """Yield headings, and commands indented by two spaces."""
    yield f"The AWS endpoint is {sandbox.url}. To use it in another terminal:"
    for name in VARIABLES:
        yield f"  export {name}={shlex.quote(sandbox.environment[name])}"
    yield "List the requests and actions of services that policies denied, with the reasons:"
    yield f"  sed -n '/is not authorized to perform/p' {sandbox.log}"
    yield f"Read email notifications, after confirming the subscriptions: http://{MAILBOX_HOST}:{endpoints.http}/"
    values = {
        "curl": f"curl --connect-to ::127.0.0.1:{endpoints.https} --cacert {endpoints.ca_certificate} -i",
        "dns": endpoints.dns,
        "folder": sandbox.directory,
        "network": CLIENT_ADDRESSES["us-west-2"],
        "page": CLIENT / "index.html",
        "rules": shlex.quote(endpoints.resolver_rules),
        "template": shlex.quote(str(TEMPLATE.resolve())),
    }
    for system in filter(SYSTEM_USAGE.__contains__, systems):  # the outputs of other systems are sufficient
        stack, text = SYSTEM_USAGE[system]
        outputs = target.outputs(stack)
        yield from text.format(**values, **outputs, host=urlsplit(outputs.get("Url", "")).hostname).splitlines()

"""What `up` prints: how to connect to the sandbox, and commands to try."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from walkthroughs.failover_page import CLIENT
from walkthroughs.multi_region_api import CLIENT_ADDRESSES
from walkthroughs.walkthrough import LocalEndpoints, Target

from ..process import MAILBOX_HOST, Sandbox

VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION")
TEMPLATE = "assets/deploy_pipeline/app/template.yaml"


def usage(sandbox: Sandbox, target: Target, endpoints: LocalEndpoints, systems: Iterable[str]) -> Iterator[str]:
    """Yield headings, and commands indented by two spaces."""
    yield f"The AWS endpoint is {sandbox.url}. To use it in another terminal:"
    for name in VARIABLES:
        yield f"  export {name}={shlex.quote(sandbox.environment[name])}"
    yield "List the requests and actions of services that policies denied, with the reasons:"
    yield f"  sed -n '/is not authorized to perform/p' {sandbox.log}"
    yield f"Read email notifications, after confirming the subscriptions: http://{MAILBOX_HOST}:{endpoints.http}/"
    for system in filter(SYSTEM_USAGE.__contains__, systems):  # the outputs of other systems are sufficient
        yield from SYSTEM_USAGE[system](target, endpoints, sandbox.directory)


def _static_site(target: Target, endpoints: LocalEndpoints, _folder: Path) -> Iterator[str]:
    yield "The site (any URL works this way):"
    yield _curl(endpoints, target.outputs("StaticSite")["Url"])


def _multi_region_api(target: Target, endpoints: LocalEndpoints, folder: Path) -> Iterator[str]:
    url = target.outputs("MultiRegionApi-us-east-1")["Url"].removesuffix("/")
    yield "Call the API by its domain name:"
    yield _curl(endpoints, f"{url}/helloworld")
    yield "Resolve the name as a client near us-west-2 (Debian package of dig: bind9-dnsutils):"
    host, network = url.split("/")[2], CLIENT_ADDRESSES["us-west-2"]
    yield f"  dig @127.0.0.1 -p {endpoints.dns} +short +subnet={network}/24 {host}"
    yield "Open the page in a separate Chromium, which resolves these names and accepts the certificates:"
    options = f"--host-resolver-rules={shlex.quote(endpoints.resolver_rules)} --ignore-certificate-errors"
    yield f"  chromium --user-data-dir={folder / 'chromium'} {options} {CLIENT / 'index.html'}"


def _curl(endpoints: LocalEndpoints, url: str) -> str:
    return f"  curl --connect-to ::127.0.0.1:{endpoints.https} --cacert {endpoints.ca_certificate} -i {url}"


def _deploy_pipeline(target: Target, _endpoints: LocalEndpoints, folder: Path) -> Iterator[str]:
    outputs = target.outputs("DeployPipeline")
    branch = f"--repository-name {outputs['RepositoryName']} --branch-name main"
    changed = folder / "template.yaml"
    yield "Push a change to the pipeline, and show its state:"
    template = shlex.quote(str(Path(TEMPLATE).resolve()))
    yield f"  sed 's/VisibilityTimeout: 30/VisibilityTimeout: 45/' {template} > {changed}"
    yield (
        f"  aws codecommit put-file {branch} --file-path template.yaml --file-content fileb://{changed} "
        f"--parent-commit-id $(aws codecommit get-branch {branch} --query branch.commitId --output text)"
    )
    query = "stageStates[].[stageName,latestExecution.status,actionStates[0].latestExecution.summary]"
    yield f"  aws codepipeline get-pipeline-state --name {outputs['PipelineName']} --query '{query}' --output table"


def _security_group_revert(target: Target, _endpoints: LocalEndpoints, _folder: Path) -> Iterator[str]:
    group = target.outputs("SecurityGroupRevert")["SampleGroupId"]
    yield "Add a rule that security_group_revert revokes, and list the rules:"
    yield (
        f"  aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port 22 --cidr 198.51.100.7/32"
    )
    yield f"  aws ec2 describe-security-group-rules --filters Name=group-id,Values={group} --output table"


def _analytics_host(target: Target, _endpoints: LocalEndpoints, _folder: Path) -> Iterator[str]:
    outputs = target.outputs("AnalyticsHost")
    yield "Run a query in the workgroup of analytics_host (RStudio and JupyterLab run only on AWS):"
    yield (
        f"  aws athena get-query-results --query-execution-id $(aws athena start-query-execution "
        f"--work-group {outputs['WorkGroupName']} --query-execution-context Database={outputs['DatabaseName']} "
        "--query-string 'SELECT 1 AS one' --query QueryExecutionId --output text)"
    )


def _cost_control(target: Target, _endpoints: LocalEndpoints, _folder: Path) -> Iterator[str]:
    outputs = target.outputs("CostControl")
    yield "Undo what cost_control has done, and read its record (its walkthrough spends more than the budget):"
    yield f"  aws stepfunctions start-execution --state-machine-arn {outputs['ReleaseArn']}"
    query = "Items[].[period.S,item.S,status.S]"
    yield f"  aws dynamodb scan --table-name {outputs['RecordTableName']} --query '{query}' --output table"


SYSTEM_USAGE: dict[str, Callable[[Target, LocalEndpoints, Path], Iterator[str]]] = {
    "static_site": _static_site,
    "multi_region_api": _multi_region_api,
    "deploy_pipeline": _deploy_pipeline,
    "security_group_revert": _security_group_revert,
    "analytics_host": _analytics_host,
    "cost_control": _cost_control,
}

"""What `up` tells whoever wants to try: how to reach the sandbox, and calls ready to be copied."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from walkthroughs.multi_region_api import CALLERS, CLIENT
from walkthroughs.walkthrough import LocalEndpoints, Target

from .process import Sandbox

NAMES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION")
TEMPLATE = "assets/deploy_pipeline/app/template.yaml"


def guide(sandbox: Sandbox, target: Target, endpoints: LocalEndpoints, systems: Iterable[str]) -> Iterator[str]:
    """The lines, headings at the margin and what is for a shell two spaces from it."""
    yield f"AWS is at {sandbox.url}. To reach it from another terminal:"
    for name in NAMES:
        yield f"  export {name}={shlex.quote(sandbox.environment[name])}"
    for system in filter(GUIDES.__contains__, systems):  # of others the outputs say enough
        yield from GUIDES[system](target, endpoints, sandbox.directory)


def _static_site(target: Target, endpoints: LocalEndpoints, _folder: Path) -> Iterator[str]:
    yield "The site (any web address, at the port of this computer):"
    yield _curl(endpoints, target.outputs("StaticSite")["Url"])


def _multi_region_api(target: Target, endpoints: LocalEndpoints, folder: Path) -> Iterator[str]:
    url = target.outputs("MultiRegionApi-us-east-1")["Url"].removesuffix("/")
    yield "The API by its name:"
    yield _curl(endpoints, f"{url}/helloworld")
    yield "Its addresses, for a caller near us-west-2 (dig is in Debian's package bind9-dnsutils):"
    host, network = url.split("/")[2], CALLERS["us-west-2"]
    yield f"  dig @127.0.0.1 -p {endpoints.dns} +short +subnet={network}/24 {host}"
    yield "Its page, in a Chromium of its own (needs a screen) that finds these names and trusts this computer:"
    yield (
        f"  chromium --user-data-dir={folder / 'chromium'} "
        f"--host-resolver-rules={shlex.quote(endpoints.resolver_rules)} "
        f"--ignore-certificate-errors {CLIENT / 'index.html'}"
    )


def _curl(endpoints: LocalEndpoints, url: str) -> str:
    return f"  curl --connect-to ::127.0.0.1:{endpoints.https} --cacert {endpoints.authority} -i {url}"


def _deploy_pipeline(target: Target, _viewers: LocalEndpoints, folder: Path) -> Iterator[str]:
    outputs = target.outputs("DeployPipeline")
    branch = f"--repository-name {outputs['RepositoryName']} --branch-name main"
    changed = folder / "template.yaml"
    yield "A push to the pipeline, and how far it has come:"
    template = shlex.quote(str(Path(TEMPLATE).resolve()))
    yield f"  sed 's/VisibilityTimeout: 30/VisibilityTimeout: 45/' {template} > {changed}"
    yield (
        f"  aws codecommit put-file {branch} --file-path template.yaml --file-content fileb://{changed} "
        f"--parent-commit-id $(aws codecommit get-branch {branch} --query branch.commitId --output text)"
    )
    query = "stageStates[].[stageName,latestExecution.status,actionStates[0].latestExecution.summary]"
    yield f"  aws codepipeline get-pipeline-state --name {outputs['PipelineName']} --query '{query}' --output table"


def _security_group_revert(target: Target, _viewers: LocalEndpoints, _folder: Path) -> Iterator[str]:
    group = target.outputs("SecurityGroupRevert")["WebServerGroupId"]
    yield "A change that security_group_revert undoes, and the rules that are left:"
    yield (
        f"  aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port 22 --cidr 198.51.100.7/32"
    )
    yield f"  aws ec2 describe-security-group-rules --filters Name=group-id,Values={group} --output table"


def _analytics_host(target: Target, _viewers: LocalEndpoints, _folder: Path) -> Iterator[str]:
    songs = target.outputs("AnalyticsHost")
    yield "A query in the workgroup of analytics_host (its RStudio and JupyterLab are in an account only):"
    yield (
        f"  aws athena get-query-results --query-execution-id $(aws athena start-query-execution "
        f"--work-group {songs['WorkGroupName']} --query-execution-context Database={songs['DatabaseName']} "
        "--query-string 'SELECT 1 AS one' --query QueryExecutionId --output text)"
    )


GUIDES: dict[str, Callable[[Target, LocalEndpoints, Path], Iterator[str]]] = {
    "static_site": _static_site,
    "multi_region_api": _multi_region_api,
    "deploy_pipeline": _deploy_pipeline,
    "security_group_revert": _security_group_revert,
    "analytics_host": _analytics_host,
}

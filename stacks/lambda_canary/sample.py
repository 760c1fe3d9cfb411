"""A sample function with a version and an alias, so that a rollout can be tried at once."""

from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from ..constructs.assets import stage_files
from ..constructs.standard_function import StandardFunction

CODE = Path(__file__).parents[2] / "assets" / "lambda_canary"
ALIAS = "live"
TEST = {
    "payload": {"name": "canary"},
    "schema": {
        "type": "object",
        "required": ["greeting", "version"],
        "properties": {"greeting": {"const": "Hello, canary"}, "version": {"type": "string"}},
    },
}


class SampleFunction(Construct):
    """A function, its first version, and an alias.

    A rollout changes the alias, not its template. CloudFormation leaves it alone as long as the version in the template
    is the same, so the version has no hash of the code in its logical id.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.function = StandardFunction(
            self,
            "Function",
            code=lambda_.Code.from_asset(stage_files(str(CODE), setting="sample", allowed=(), allow_setting=None)),
            handler="greeting.handler",
            description="Sample function whose versions are rolled out",
            timeout_seconds=3,
            memory_size=128,
        )
        version = lambda_.Version(self, "Version", lambda_=self.function, description="First version")
        self.alias = lambda_.Alias(self, "Alias", alias_name=ALIAS, version=version)

"""Package a system's Lambda functions as an asset."""

import shutil
from pathlib import Path

from aws_cdk import aws_lambda as lambda_

from .assets import temporary_folder

LAMBDAS = Path(__file__).parents[2] / "lambdas"


def lambda_asset(system: str, **files: str) -> lambda_.AssetCode:
    """Package `lambdas/<system>`. Each keyword argument adds a file ``<name>.json`` with the given text.

    Handler names include the folder: ``static_site.handler.handler``.
    """
    staging = temporary_folder()
    package = staging / system
    shutil.copytree(LAMBDAS / system, package, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name, text in files.items():
        (package / f"{name}.json").write_text(text)
    return lambda_.Code.from_asset(str(staging))

"""Package a system's Lambda functions as an asset."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import aws_lambda as lambda_

from .assets import temporary_folder

LAMBDAS = Path(__file__).parents[2] / "lambdas"


def lambda_asset(system: str, *, shared: Sequence[str] = (), **files: str) -> lambda_.AssetCode:
    """Package `lambdas/<system>`. Each further keyword argument adds a file ``<name>.json`` with the given text.

    Handler names include the folder: ``static_site.handler.handler``. `shared` lists modules of `lambdas/` that the
    system imports with the name that they have everywhere: ``from lambdas.mail_text import subject``.
    """
    staging = temporary_folder()
    package = staging / system
    shutil.copytree(LAMBDAS / system, package, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    if shared:
        (staging / "lambdas").mkdir()
        for module in ("__init__", *shared):
            shutil.copy(LAMBDAS / f"{module}.py", staging / "lambdas")
    for name, text in files.items():
        (package / f"{name}.json").write_text(text)
    return lambda_.Code.from_asset(str(staging))

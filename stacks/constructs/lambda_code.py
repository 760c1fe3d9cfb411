"""The code of a system's functions, as an asset."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aws_cdk import aws_lambda as lambda_

HANDLERS = Path(__file__).parents[2] / "lambdas"


@contextmanager
def code_of(system: str, **files: str) -> Iterator[lambda_.AssetCode]:
    """Give the folder `system` of `lambdas/`, with `files` (name without ``.json``, text) in it.

    Functions must be made inside the ``with`` block, where the staged copy exists. Their
    handlers are named with the folder: ``static_site.handler.handler``.
    """
    with tempfile.TemporaryDirectory() as staging:
        package = Path(staging, system)
        shutil.copytree(HANDLERS / system, package, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for name, text in files.items():
            (package / f"{name}.json").write_text(text)
        yield lambda_.Code.from_asset(staging)

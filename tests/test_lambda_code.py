"""Packages of Lambda functions: each contains what its handlers import, and no code of another system."""

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from .conftest import ROOT, Assembly, resources_of_type

# The modules of the handlers, in a new process that finds only the package, the standard library and boto3.
IMPORT = """import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
print(*sorted(name for name in sys.modules if name.split(".")[0] == "lambdas"))
"""
# Prints what a handler's module imports in addition to the modules that Lambda's runtime client has imported.
IMPORTED_IN_ADDITION = """import decimal, importlib, json, logging, os, re, sys, threading, time, traceback, warnings
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(*sorted({name.split(".")[0] for name in sys.modules.keys() - before}))
"""


def test_packages_import_without_the_project(assembly: Assembly) -> None:
    modules: defaultdict[Path, set[str]] = defaultdict(set)
    base = {"PATH": os.environ["PATH"], "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    variables: defaultdict[Path, dict[str, str]] = defaultdict(base.copy)
    for path in assembly.templates:
        for function in resources_of_type(assembly.template(path.name.partition(".")[0]), "AWS::Lambda::Function"):
            if function["Handler"].count(".") > 1:  # not aws-cdk-lib's
                package = assembly.directory / f"asset.{function['Code']['S3Key'].removesuffix('.zip')}"
                modules[package].add(function["Handler"].rpartition(".")[0])
                environment = function.get("Environment", {}).get("Variables", {})
                variables[package].update({name: str(value) for name, value in environment.items()})
    shared = {}
    for package, handlers in modules.items():
        done = subprocess.run(
            [sys.executable, "-B", "-c", IMPORT, *handlers],
            cwd=package, env=variables[package], capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not done.returncode, f"{handlers}: {done.stderr}"
        (system,) = {handler.partition(".")[0] for handler in handlers}
        shared[system] = done.stdout.split()
        assert {entry.name for entry in package.iterdir()} == ({system, "lambdas"} if shared[system] else {system})
    assert shared.keys() == {path.parent.name for path in (ROOT / "lambdas").glob("*/__init__.py")}
    assert shared["static_site"] == shared["multi_region_api"] == [], "these add to the latency of requests"
    assert shared["cost_control"] == ["lambdas", "lambdas.mail_text"]


@pytest.mark.parametrize("module", ["static_site.handler", "multi_region_api.hello", "multi_region_api.healthcheck"])
def test_handler_that_a_viewer_waits_for_imports_only_typing(module: str, tmp_path: Path) -> None:
    system = module.partition(".")[0]
    package = shutil.copytree(ROOT / "lambdas" / system, tmp_path / system)
    if system == "multi_region_api":
        (package / "settings.json").write_text('{"allowed_origins": [], "drain_urls": {}, "dependencies": []}')
    done = subprocess.run(
        [sys.executable, "-B", "-c", IMPORTED_IN_ADDITION, module],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "AWS_REGION": "us-east-1"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["_typing", system, "typing"]

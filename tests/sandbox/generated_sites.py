"""Sites of three generators, in one folder: SvelteKit, with MkDocs and Sphinx in folders below it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ..conftest import ROOT

SOURCES = Path(__file__).with_name("generators")
PROGRAMS = ROOT / ".cache" / "generators"  # where `make generators` installs them


def build_sites(folder: Path) -> dict[str, Path]:
    """Build each site below `folder` and return where, by the name of its generator.

    Skips the test if the generators are not installed.
    """
    if not (PROGRAMS / "done").exists():
        pytest.skip("needs site generators: make generators")
    sources = folder / "sources"
    shutil.copytree(SOURCES, sources)
    (sources / "node_modules").symlink_to(PROGRAMS / "node_modules")
    sites = {name: folder / name for name in ("sveltekit", "mkdocs", "sphinx")}
    programs = PROGRAMS / "venv" / "bin"
    _run("node", "node_modules/vite/bin/vite.js", "build", cwd=sources)
    (sources / "build").rename(sites["sveltekit"])
    _run(programs / "mkdocs", "build", "--quiet", "--site-dir", sites["mkdocs"], cwd=sources / "mkdocs")
    _run(programs / "sphinx-build", "-C", "-q", "-D", "project=Sphinx", "sphinx", sites["sphinx"], cwd=sources)
    return sites


def _run(*command: str | Path, cwd: Path) -> None:
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

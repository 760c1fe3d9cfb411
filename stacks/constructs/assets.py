"""Folders that become assets, and which of their files may leave the computer.

Names that begin with a dot are left out, except `.well-known` (RFC 8615) at the top. Symbolic
links that lead out of the folder, and names that suggest a private key, a database or a backup,
stop the synthesis: an asset is easily published, and hard to take back.
"""

import atexit
import shutil
import tempfile
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

# In lower case, matched against the name of each file and folder.
SUSPICIOUS = (
    *("*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.kdbx", "*.ovpn"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*kubeconfig*", "*htpasswd*"),
    *("*.env", "*.env.*", "credentials", "credentials.*", "secrets.*", "service-account*.json", "client_secret*.json"),
    *("*accesskeys.csv", "*credentials.csv", "rootkey.csv", "git-credentials", "*.git"),
    *("*.sql", "*.sql.*", "*.sqlite", "*.sqlite3", "*.db", "*.mdb", "*.dump", "*.dmp", "*.rdb", "*.bson"),
    *("*.bak", "*.bak.*", "*.backup", "*.old", "*.orig", "*.swp", "*~"),
    *("*.tfstate", "*.tfstate.*", "*.tfvars", "*.log", "*.pcap", "*.har"),
    *("node_modules", "cdk.out", "venv"),
)


class AssetError(Exception):
    """A folder that must not become an asset as it is; the message names every file, and what to do."""


def staging_folder() -> Path:
    """Create a temporary folder, deleted when the program ends: CDK copies it when an asset is created from it."""
    folder = tempfile.mkdtemp(prefix="asset-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def staged_folder(folder: str, *, setting: str, allowed: Collection[str], allow_with: str | None) -> str:
    """Copy the files of `folder` that may be published to a temporary folder, and return its path.

    `setting` names the folder in errors. `allowed` are paths or patterns, relative to the folder, of suspicious
    names that may be published; `allow_with` is the setting that has them, if there is one.

    Raises:
        AssetError: a link leads out of the folder, or a name is suspicious and not allowed.
    """
    root = Path(folder).expanduser().resolve()
    files, problems = _Search(root, allowed).result()
    if problems:
        hint = f", or list what is meant to be published in {allow_with}, as JSON" if allow_with else ""
        lines = [f"{setting}: {folder} has files that must not be published. Move them out of it{hint}:", *problems]
        raise AssetError("\n  ".join(lines))
    staging = staging_folder()
    for relative in files:
        copy = staging / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / relative, copy)
    return str(staging)


class _Search:
    """Finds the files of a folder, relative to it, and a problem for each file that must not be published."""

    def __init__(self, root: Path, allowed: Collection[str]) -> None:
        self.root, self.allowed = root, allowed
        self.files: list[Path] = []
        self.problems: list[str] = []

    def result(self) -> tuple[list[Path], list[str]]:
        self._folder(self.root, frozenset({self.root}))
        return self.files, self.problems

    def _folder(self, folder: Path, ancestors: frozenset[Path]) -> None:
        for path in sorted(folder.iterdir()):
            relative = path.relative_to(self.root)
            if _is_left_out(relative):
                continue
            target = _target(path)
            problem = self._problem(relative, target, ancestors)
            if problem:
                self.problems.append(f"{relative.as_posix()}: {problem}")
            elif path.is_dir():
                self._folder(path, ancestors | {target})
            else:
                self.files.append(relative)

    def _problem(self, relative: Path, target: Path, ancestors: frozenset[Path]) -> str | None:
        """Return why this file or folder must not be published, if so."""
        if not target.exists():
            return "a symbolic link that leads nowhere"
        if not target.is_relative_to(self.root):
            return f"a symbolic link that leads out of the folder, to {target}"
        if _is_left_out(target.relative_to(self.root)):
            return f"a symbolic link to {target.relative_to(self.root).as_posix()}, which is not published"
        if target in ancestors:
            return "a symbolic link to a folder that contains it"
        if not target.is_file() and not target.is_dir():
            return "neither a file nor a folder"
        if any(fnmatchcase(relative.as_posix(), pattern) for pattern in self.allowed):
            return None
        for name in (relative.name, target.name):
            pattern = next((pattern for pattern in SUSPICIOUS if fnmatchcase(name.lower(), pattern)), None)
            if pattern:
                return f"a suspicious name ({pattern})"
        return None


def _target(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links to each other; the error depends on Python's version
        return path


def _is_left_out(relative: Path) -> bool:
    parts = relative.parts[1:] if relative.parts[:1] == (".well-known",) else relative.parts
    return any(name.startswith(".") or name == "__pycache__" for name in parts)

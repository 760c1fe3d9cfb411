"""Copy folders for use as assets, excluding files that must not be published.

Files and folders whose names begin with a dot are skipped, except `.well-known` (RFC 8615) at the top level. Symbolic
links that point outside the folder, and names that suggest a private key, a database or a backup, cause synthesis to
fail, because publishing cannot be undone.
"""

import atexit
import shutil
import tempfile
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

# Lowercase patterns, matched against the name of each file and folder.
SUSPICIOUS_PATTERNS = (
    # Private keys and key stores.
    *("*.pem", "*.pem.*", "*.key", "*.p8", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.keytab", "*.ppk", "*.kdbx"),
    *("*.pkcs12", "*.pk8", "*.jceks", "*.bcfks", "*.kdb", "*.psafe3", "wallet.dat"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "ssh_host_*", "private-key*", "private_key*"),
    *("*.gpg", "*.asc", "*.ovpn"),
    # Passwords and other secrets.
    *("*.env", "*.env.*", "env.*", "*credentials*", "secret", "secret.*", "secrets", "secrets.*"),
    *("*secrets*.yml", "*secrets*.yaml", "*secrets*.json", "password*", "passwd*", "*htpasswd*"),
    *("*apikey*", "*api-key.*", "*api-keys.*", "*api_key.*", "*api_keys.*", "*accesskeys.csv", "rootkey.csv"),
    *("client_secret*.json", "*service-account*.json", "*service_account*.json", "*serviceaccount*.json"),
    *("*adminsdk*.json", "*gcp-key*.json", "local.settings.json", "*kubeconfig*", "wp-config*"),
    *(
        "token.json",
        "token.pickle",
        "gha-creds-*.json",
        "sftp-config.json",
        "logins.json",
    ),  # of tools that store logins
    *("*.cred", "*.creds", "_netrc", "pgpass*", "vault_pass*"),
    # Databases.
    *("*.sql", "*.sql.*", "*.sqlite", "*.sqlite-*", "*.sqlite3", "*.sqlite3-*", "*.db", "*.db.*", "*.db-*", "*.mdb"),
    *("*.ibd", "*.frm", "*.myd"),
    *("*.accdb", "*.mdf", "*dump*.zip", "*dump*.gz", "*dump*.tgz"),
    *("*.dump", "*.dump.*", "dump.*", "*.dmp", "*.rdb", "*.bson", "*.bacpac"),
    # Backups, and files of editors and tools.
    *("backup", "backups", "*.bak", "*.bak.*", "*.backup", "*backup.*", "*.old", "*.orig", "*.swp", "*~"),
    *("*backup*.zip", "*backup*.tar", "*backup*.tgz", "*backup*.gz", "*backup*.7z", "*.swo", "#*#"),
    *("*.tfstate", "*.tfstate.*", "*.tfvars", "*.tfvars.json", "*.log", "*.pcap", "*.har"),
    *("*.tfplan", "tfplan", "*.log.*", "*.hprof", "*.core", "*.stackdump", "*.mdmp", "*.save"),
    *(f"core.{'[0-9]' * digits}" for digits in range(1, 8)),  # not hashed files, such as core.1f.js
    *("www.tar*", "www.tgz", "www.zip", "htdocs*.zip", "htdocs*.tar*", "public_html*.zip", "public_html*.tar*"),
    *("*.git", "node_modules", "cdk.out", "venv"),
)


class AssetError(Exception):
    """A folder contains files that must not be published. The message lists each file and the remedy."""


def temporary_folder() -> Path:
    """Create a temporary folder that is deleted at exit. CDK copies its contents when it creates the asset."""
    folder = tempfile.mkdtemp(prefix="asset-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def stage_files(folder: str, *, setting: str, allowed: Collection[str], allow_setting: str | None) -> str:
    """Copy the publishable files of `folder` to a temporary folder, and return its path.

    `setting` is the name to show in errors. `allowed` lists suspicious files to publish, as paths or patterns relative
    to the folder; `allow_setting` is the name of the setting that lists them, if any.

    Raises:
        AssetError: a link points outside the folder, or a name is suspicious and not allowed.
    """
    root = Path(folder).expanduser().resolve()
    files, problems = _FolderScan(root, allowed).run()
    if problems:
        hint = f", or allow them in {allow_setting} (a JSON list)" if allow_setting else ""
        lines = [f"{setting}: {folder} has files that must not be published. Move them{hint}:", *problems]
        raise AssetError("\n  ".join(lines))
    staging = temporary_folder()
    for relative in files:
        copy = staging / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / relative, copy)
    return str(staging)


class _FolderScan:
    """Find the files of a folder, as relative paths, and a problem for each file that must not be published."""

    def __init__(self, root: Path, allowed: Collection[str]) -> None:
        self.root, self.allowed = root, allowed
        self.files: list[Path] = []
        self.problems: list[str] = []

    def run(self) -> tuple[list[Path], list[str]]:
        self._scan(self.root, frozenset({self.root}))
        return self.files, self.problems

    def _scan(self, folder: Path, ancestors: frozenset[Path]) -> None:
        for path in sorted(folder.iterdir()):
            relative = path.relative_to(self.root)
            if _is_skipped(relative):
                continue
            target = _target(path)
            problem = self._problem(relative, target, ancestors)
            if problem:
                self.problems.append(f"{relative.as_posix()}: {problem}")
            elif path.is_dir():
                self._scan(path, ancestors | {target})
            else:
                self.files.append(relative)

    def _problem(self, relative: Path, target: Path, ancestors: frozenset[Path]) -> str | None:
        """Return why this file or folder must not be published, or None."""
        if not target.exists():
            return "a symbolic link to a missing file"
        if not target.is_relative_to(self.root):
            return f"a symbolic link to {target}, outside the folder"
        if _is_skipped(target.relative_to(self.root)):
            return f"a symbolic link to {target.relative_to(self.root).as_posix()}, which is not published"
        if target in ancestors:
            return "a symbolic link to a folder that contains it"
        if not target.is_file() and not target.is_dir():
            return "neither a file nor a folder"
        if any(fnmatchcase(relative.as_posix(), pattern) for pattern in self.allowed):
            return None
        for name in (relative.name, target.name):
            pattern = next((pattern for pattern in SUSPICIOUS_PATTERNS if fnmatchcase(name.lower(), pattern)), None)
            if pattern:
                return f"a suspicious name ({pattern})"
        return None


def _target(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a cycle of links; the error depends on Python's version
        return path


def _is_skipped(relative: Path) -> bool:
    parts = relative.parts[1:] if relative.parts[:1] == (".well-known",) else relative.parts
    return any(name.startswith(".") or name == "__pycache__" for name in parts)

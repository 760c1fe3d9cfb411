"""Staged folders: files that must not be published are skipped or stop the synthesis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.constructs.assets import AssetError, stage_files

from .conftest import ROOT, synthesize

pytestmark = pytest.mark.xdist_group("templates")


def _write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def _published(folder: Path, *allowed: str) -> list[str]:
    staged = stage_files(str(folder), setting="x:site", allowed=allowed, allow_setting="x:allowed_files")
    paths = sorted(path for path in Path(staged).rglob("*") if path.is_file())
    assert not any(path.is_symlink() for path in paths)
    return [path.relative_to(staged).as_posix() for path in paths]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    _write(tmp_path / "site", "index.html", "docs/index.html")
    return tmp_path / "site"


@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a folder with keys, dumps, hidden files or links to files outside it",
    expected="hidden files are skipped; the others fail synthesis",
    observed="the error lists each file",
)
def test_hidden_files_are_skipped_except_well_known(site: Path) -> None:
    _write(site, ".env", ".npmrc", ".git/config", "docs/.env", "docs/.git/HEAD", "docs/.well-known/x")
    _write(site, ".well-known/security.txt", ".well-known/.env", "__pycache__/a.pyc")
    assert _published(site) == [".well-known/security.txt", "docs/index.html", "index.html"]


@pytest.mark.parametrize(
    "name",
    [
        *("id_rsa", "keys/id_ed25519.pub", "server.pem", "SERVER.KEY", "a.p12", "release.keystore", "prod.env"),
        *("prod.env.local", "rootkey.csv", "new_user_credentials.csv", "client_secret_1.json", "site.git"),
        *("credentials", "credentials.csv", "secrets.yml", "service-account-prod.json", "me_accessKeys.csv"),
        *("aws_credentials", "secret.json", "secrets", "serviceAccountKey.json", "x-firebase-adminsdk-1.json"),
        *("passwords.csv", "env.production", "wp-config.php", "private.gpg", "backup.tar.gz", "dump.tgz"),
        *("dump.sql", "dump.sql.gz", "data/app.sqlite3", "Users.db", "index.html.bak", "page.old", "a.orig", "b~"),
        *("terraform.tfstate", "terraform.tfstate.backup", "prod.tfvars", "debug.log", "node_modules/left/pad.js"),
        *(
            "terraform.tfvars.json",
            "service_account_1.json",
            "app-secrets.yml",
            "db_secrets.prod.yaml",
            "my-secrets.json",
        ),
        *("private-key.txt", "private_key.der", "ssh_host_rsa_key", "http.keytab", "local.settings.json"),
        *("apikey.txt", "my-api-key.json", "api_keys.csv", "app.bacpac", "backup/a.txt", "backups/a.txt"),
        *("site-backup-2026-11-26.tar.gz", "backup_2026.zip", "db-dump-2026.gz", "access.log.1", "app.log.gz"),
        *("#index.html#", "index.html.swo", "heap.hprof", "prod.tfplan", "tfplan", "token.json", "token.pickle"),
        *("gha-creds-0a1b2c3d.json", "sftp-config.json", "app.accdb", "app.mdf", "key.pkcs12", "key.pk8"),
        *("app.jceks", "trust.bcfks", "passwords.kdb", "wallet.dat", "aws.creds", "db.cred", "_netrc", "pgpass.conf"),
        *("vault_pass.txt", "logins.json", "users.ibd", "users.frm", "users.myd", "core.1234", "app.core"),
        *("app.stackdump", "crash.mdmp", "index.html.save", "site.psafe3", "www.tar.gz", "public_html.zip"),
        *("users.db.gz", "users.dump.xz", "server.pem.txt", "app.db-wal", "app.sqlite-shm", "app.sqlite3-journal"),
    ],
)
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a folder with keys, dumps, hidden files or links to files outside it",
)
def test_suspicious_name_stops_synthesis(site: Path, name: str) -> None:
    _write(site, name)
    with pytest.raises(AssetError) as error:
        _published(site)
    reported = name.partition("/")[0] if name.startswith(("backup", "node_modules")) else name
    assert f"{reported}: a suspicious name" in str(error.value)
    assert "x:site" in str(error.value), "the error names the setting of the folder"
    assert "x:allowed_files" in str(error.value), "the error names the setting that allows the file"


def test_ordinary_names_are_published(site: Path) -> None:
    names = ["app-1.0.tar.gz", "backup-guide.html", "docs/api-keyboard.html", "monkey.js", "settings.json", "db.html"]
    _write(site, *names)
    assert set(names) <= set(_published(site))


def test_suspicious_names_are_reported_together(site: Path) -> None:
    _write(site, "dump.sql", "docs/server.pem")
    with pytest.raises(AssetError, match=r"(?s)docs/server\.pem: .*dump\.sql: "):
        _published(site)


@pytest.mark.parametrize("allowed", ["downloads/schema.sql", "downloads/*.sql"])
def test_allowed_name_is_published(site: Path, allowed: str) -> None:
    _write(site, "downloads/schema.sql")
    assert "downloads/schema.sql" in _published(site, allowed)
    _write(site, "other.sql")
    with pytest.raises(AssetError, match=r"other\.sql"):
        _published(site, allowed)


def test_allowed_folder_does_not_allow_files_in_it(site: Path) -> None:
    _write(site, "node_modules/a.js", "node_modules/b.pem")
    with pytest.raises(AssetError, match=r"node_modules/b\.pem: a suspicious name"):
        _published(site, "node_modules")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.txt", "../outside", "/", ".."])
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a folder with keys, dumps, hidden files or links to files outside it",
)
def test_link_outside_the_folder_stops_synthesis(site: Path, target: str) -> None:
    _write(site.parent, "outside.txt", "outside/secret.txt")
    (site / "docs" / "link").symlink_to(target if target.startswith("/") else f"../{target}")
    with pytest.raises(AssetError, match=r"docs/link: a symbolic link to .*, outside the folder"):
        _published(site, "*")


def test_indirect_link_outside_the_folder_stops_synthesis(site: Path) -> None:
    _write(site.parent, "outside.txt")
    (site / "first").symlink_to("second")
    (site / "second").symlink_to("../outside.txt")
    with pytest.raises(AssetError, match=r"(?s)first: .*second: "):
        _published(site)


def test_link_to_unpublished_file_stops_synthesis(site: Path) -> None:
    _write(site, ".env", "keys/server.pem")
    (site / "settings.txt").symlink_to(".env")
    (site / "certificate.txt").symlink_to("keys/server.pem")
    with pytest.raises(AssetError, match=r"(?s)certificate\.txt: .*settings\.txt: a symbolic link to \.env"):
        _published(site, "keys/server.pem")


def test_link_within_the_folder_is_copied(site: Path) -> None:
    (site / "home.html").symlink_to("index.html")
    (site / "manual").symlink_to("docs")
    assert _published(site) == ["docs/index.html", "home.html", "index.html", "manual/index.html"]


@pytest.mark.parametrize("target", [".", "docs", "missing", "loop"])
def test_cyclic_or_broken_link_stops_synthesis(site: Path, target: str) -> None:
    name = "docs/loop" if target == "docs" else "loop"
    (site / name).symlink_to(site / target)
    with pytest.raises(AssetError, match=rf"{name}: a symbolic link"):
        _published(site)


def test_pipe_stops_synthesis(site: Path) -> None:
    os.mkfifo(site / "pipe")
    with pytest.raises(AssetError, match="pipe: neither a file nor a folder"):
        _published(site)


@pytest.mark.parametrize(
    ("stack", "setting", "files"),
    [
        ("StaticSite", "static_site:site", ["index.html", "404.html"]),
        ("DeployPipeline", "deploy_pipeline:app", ["t.yaml"]),
    ],
)
def test_stack_publishes_no_hidden_or_suspicious_files(
    tmp_path: Path, stack: str, setting: str, files: list[str]
) -> None:
    folder = tmp_path / "folder"
    _write(folder, *files, ".env", ".git/config")
    assembly = synthesize(tmp_path / "out", {setting: str(folder)}, stack)
    assets = [path for path in assembly.directory.glob("asset.*/**/*") if path.name in (files[0], ".env", "config")]
    assert {path.name for path in assets} == {files[0]}
    _write(folder, "dump.sql")
    with pytest.raises(AssetError, match=rf"(?s)^{setting}: .*or allow them in {allow_setting(setting)}.*dump\.sql"):
        synthesize(tmp_path / "failed", {setting: str(folder)}, stack)
    allowed = {setting: str(folder), allow_setting(setting): ["dump.sql"]}
    assembly = synthesize(tmp_path / "allowed", allowed, stack)
    assert list(assembly.directory.glob("asset.*/dump.sql"))


def allow_setting(setting: str) -> str:
    return f"{setting.partition(':')[0]}:allowed_files"


def test_app_reports_files_without_traceback(site: Path, tmp_path: Path) -> None:
    _write(site, "404.html", "dump.sql")
    context = {"static_site:site": str(site), "aws:cdk:bundling-stacks": ["StaticSite"]}
    environment = os.environ | {"CDK_OUTDIR": str(tmp_path / "out"), "CDK_CONTEXT_JSON": json.dumps(context)}
    run = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert "dump.sql: a suspicious name" in run.stderr
    assert "Traceback" not in run.stderr

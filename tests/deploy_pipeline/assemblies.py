"""Cloud assemblies in the form in which CDK 2 writes them."""

import io
import json
import zipfile
from typing import Any

CODE, NESTED, TEMPLATE = ("a" * 64, "b" * 64, "c" * 64)  # hashes
BOOTSTRAP = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
STACK = "aws:cloudformation:stack"


def template(**resources: Any) -> dict[str, Any]:
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {"Code": {"S3Bucket": {"Fn::Sub": BOOTSTRAP}, "S3Key": f"{CODE}.zip"}},
    }
    url = {"Fn::Sub": f"https://s3.${{AWS::Region}}.${{AWS::URLSuffix}}/{BOOTSTRAP}/{NESTED}.json"}
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
    return {"Resources": {"Function": function, "Nested": nested, **resources}}


def file_asset(path: str, key: str, packaging: str = "file", **destination: str) -> dict[str, Any]:
    place = {"bucketName": BOOTSTRAP, "objectKey": key, "assumeRoleArn": "arn:of-cdk", **destination}
    return {"source": {"path": path, "packaging": packaging}, "destinations": {"current": place}}


def stack(file: str, assets: str, **fields: Any) -> dict[str, Any]:
    properties = {"templateFile": file, "tags": {"team": "orders"}, "terminationProtection": False}
    return {
        "type": STACK,
        "environment": "aws://unknown-account/unknown-region",
        "properties": properties,
        "dependencies": [assets],
        **fields,
    }


def assembly(**changes: Any) -> dict[str, Any]:
    """Return the content of an assembly's files by path; `changes` replace fields of the manifests."""
    artifacts = {
        "Shop.assets": {"type": "cdk:asset-manifest", "properties": {"file": "Shop.assets.json"}},
        "Shop": stack("Shop.template.json", "Shop.assets", **changes.get("stack", {})),
        "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}},
        **changes.get("artifacts", {}),
    }
    files = {
        CODE: file_asset(f"asset.{CODE}", f"{CODE}.zip", "zip"),
        NESTED: file_asset("ShopNested.nested.template.json", f"{NESTED}.json"),
        TEMPLATE: file_asset("Shop.template.json", f"{TEMPLATE}.json"),
        **changes.get("files", {}),
    }
    return {
        "cdk.out/manifest.json": {"version": "55.0.0", "artifacts": artifacts} | changes.get("manifest", {}),
        "cdk.out/Shop.assets.json": {"version": "55.0.0", "files": files, "dockerImages": changes.get("images", {})},
        "cdk.out/Shop.template.json": changes.get("template", template()),
        "cdk.out/ShopNested.nested.template.json": template(),
        f"cdk.out/asset.{CODE}/index.py": "def handler(event, context): ...\n",
        f"cdk.out/asset.{CODE}/bin/run": "#!/bin/sh\n",
        f"cdk.out/asset.{CODE}0/other.py": "of another asset",
    }


def packed(files: dict[str, Any], links: dict[str, str] | None = None) -> bytes:
    """Return a zip file; objects are written as JSON. `links` are symbolic links and their targets."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (2026, 11, 26, 12, 0, 0))
            info.external_attr = (0o100755 if "/bin/" in name else 0o100600) << 16
            archive.writestr(info, content if isinstance(content, str | bytes) else json.dumps(content))
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
    return buffer.getvalue()

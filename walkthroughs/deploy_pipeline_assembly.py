"""Push the sample app as a CDK cloud assembly, whose assets the pipeline publishes."""

import io
import json
import zipfile
from typing import Any

from .deploy_pipeline import TEMPLATE
from .deploy_pipeline_drift import DriftWalkthrough
from .walkthrough import Step

FOLDER, STACK = "cdk.out", "SampleApp"
BOOTSTRAP_BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
ASSET = "5f2b6a3c" * 8  # in place of a hash
CODE = f"{FOLDER}/asset.{ASSET}/index.py"


class AssemblyWalkthrough(DriftWalkthrough):
    """The walkthrough of `deploy_pipeline` with approvals and drift, and with a cloud assembly."""

    def _prepare(self) -> None:
        super()._prepare()
        self.assets = self.target.outputs("DeployPipeline")["AssetBucketName"]

    def assembly_is_deployed(self) -> str:
        self.cleanup.callback(self._remove_assembly)
        location = {"assembly": {"path": FOLDER, "stack": STACK}}
        self._write_input({name: item for name, item in self.input.items() if name != "templatePath"} | location)
        edited = self._edited("VisibilityTimeout: 30", "VisibilityTimeout: 50")
        deployed = self._deploy("assembly", self._assembly(edited))
        deployed.check_success()
        content = self.s3.get_object(Bucket=self.assets, Key=f"{ASSET}.zip")["Body"].read()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.namelist() == ["index.py"], archive.namelist()
        template = str(self.cloudformation.get_template(StackName=self.app)["TemplateBody"])
        assert self.assets in template, "the template refers to the bootstrap bucket"
        return f'its asset is in the pipeline\'s bucket; "{deployed.message}"'

    def unsafe_assembly_is_rejected(self) -> str:
        before = self._snapshot()
        rejected = self._deploy("unsafe assembly", self._assembly(self._without_subscription()))
        assert rejected.status == "Failed", "the assembly was deployed"
        assert "Subscription (AWS::SNS::Subscription), Remove: it is deleted" in rejected.message, rejected.message
        assert self._snapshot() == before, "the stack was changed"
        self._check_no_leftover()
        return f'the stack was not changed; "{rejected.message}"'

    def missing_asset_is_reported(self) -> str:
        before = self._snapshot()
        files = {path: content for path, content in self._assembly(self.template).items() if path != CODE}
        failed = self._deploy("missing asset", files, delete=[CODE])
        assert failed.status == "Failed", "the assembly was deployed without its asset"
        assert f"The asset '{FOLDER}/asset.{ASSET}' is not in the source artifact" in failed.message, failed.message
        assert self._snapshot() == before, "the stack was changed"
        self._write_input(self.input)
        self._deploy("without assembly", delete=self._assembly_files()).check_success()
        return f'the stack was not changed; "{failed.message}"'

    steps = (
        *DriftWalkthrough.steps[:-1],
        Step("Push the app as a CDK cloud assembly with a longer timeout", assembly_is_deployed),
        Step("Remove the subscription from the assembly", unsafe_assembly_is_rejected),
        Step("Remove an asset from the assembly", missing_asset_is_reported),
        DriftWalkthrough.steps[-1],
    )

    def _assembly(self, template: str) -> dict[str, str]:
        """Return the files of an assembly, as `cdk synth` writes them, with the template in YAML."""

        def asset(path: str, key: str, packaging: str) -> dict[str, Any]:
            destination = {"bucketName": BOOTSTRAP_BUCKET, "objectKey": key}
            return {"source": {"path": path, "packaging": packaging}, "destinations": {"current": destination}}

        files = {
            ASSET: asset(f"asset.{ASSET}", f"{ASSET}.zip", "zip"),
            "template": asset(TEMPLATE, "template.yaml", "file"),
        }
        stack = {
            "type": "aws:cloudformation:stack",
            "environment": "aws://unknown-account/unknown-region",
            "properties": {"templateFile": TEMPLATE},
            "dependencies": [f"{STACK}.assets"],
        }
        manifest = {"type": "cdk:asset-manifest", "properties": {"file": f"{STACK}.assets.json"}}
        code = f'Metadata:\n  Code: {{S3Bucket: !Sub "{BOOTSTRAP_BUCKET}", S3Key: "{ASSET}.zip"}}\n\n'
        return {
            f"{FOLDER}/manifest.json": json.dumps({"artifacts": {STACK: stack, f"{STACK}.assets": manifest}}),
            f"{FOLDER}/{STACK}.assets.json": json.dumps({"files": files, "dockerImages": {}}),
            f"{FOLDER}/{TEMPLATE}": template.replace("Resources:\n", f"{code}Resources:\n", 1),
            CODE: "def handler(event, context): ...\n",
        }

    def _assembly_files(self) -> list[str]:
        """Return the files of the assembly that are in the repository."""
        return [path for path in self._assembly(self.template) if self._file(path) is not None]

    def _remove_assembly(self) -> None:
        """Restore the input, and remove the assembly from the repository."""
        self._write_input(self.input)
        self._push("Remove the assembly", {}, self._assembly_files())

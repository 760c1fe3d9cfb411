"""A synthesized application: templates, construct paths, and acknowledgments of cdk-nag's findings."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ACKNOWLEDGED = "aws:cdk:acknowledged-rules"
GENERATED_SUFFIX = re.compile(r"[0-9A-F]{32}(\d+MiB)*")  # in the names of aws-cdk-lib's singletons
IGNORED_PATH_SUFFIX = re.compile(r"(/DefaultPolicy)?(/(Resource|Default|Policy/Resource))?$")


@dataclass(frozen=True)
class Template:
    """The template of a stack, in the folder of its assembly."""

    path: Path

    @property
    def stack(self) -> str:
        """The stack's name; the Regions of one system have the same."""
        return re.sub(r"-[a-z]{2}-[a-z]+-\d$", "", self._name)

    @property
    def resources(self) -> dict[str, Any]:
        """Logical ID to resource."""
        resources: dict[str, Any] = json.loads(self.path.read_text())["Resources"]
        return resources

    def construct(self, logical_id: str) -> str:
        """Return the readable path, below the stack, of the construct that a resource belongs to."""
        path = self._paths.get(logical_id, f"/{logical_id}").partition(f"/{self._name}/")[2] or logical_id
        return IGNORED_PATH_SUFFIX.sub("", GENERATED_SUFFIX.sub("", path))

    def reasons(self, logical_id: str) -> dict[str, str]:
        """Return the acknowledgments of cdk-nag's findings at the resource and above it: rule to reason."""
        path = self._paths.get(logical_id, "")
        reasons: dict[str, str] = {}
        for place, entries in self._metadata.items():
            if f"{path}/".startswith(f"{place}/"):
                for entry in entries:
                    if entry["type"] == ACKNOWLEDGED:
                        reasons |= {rule.removeprefix("Annotation::"): reason for rule, reason in entry["data"].items()}
        return reasons

    @property
    def _name(self) -> str:
        return self.path.name.removesuffix(".template.json")

    @cached_property
    def _metadata(self) -> dict[str, Any]:
        file = self.path.with_name(f"{self._name}.metadata.json")
        metadata: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return metadata

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {
            entry["data"]: path
            for path, entries in self._metadata.items()
            for entry in entries
            if entry["type"] == "aws:cdk:logicalId"
        }


def templates(*assemblies: Path) -> Iterator[Template]:
    """The templates in the folders of assemblies."""
    for assembly in assemblies:
        yield from (Template(path) for path in sorted(assembly.glob("*.template.json")))

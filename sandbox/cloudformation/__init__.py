"""CloudFormation: change sets that report replacements, rollback, deletion policies and signals.

MiniStack executes stacks and change sets. Implemented here:

- Change sets report replacements by the create-only properties of the resource schemas (bundled with cfn-lint), with
  a detail for each changed property, and for each reference to a changed resource: `Ref` if that resource can be
  replaced, `GetAtt` if it changes at all. Change sets of nested stacks, pagination, property values.
- Virtual-hosted S3 URLs of templates; a rollback that restores updated resources and deletes only new ones; events
  with increasing timestamps.
- Deletion policies and termination protection (`deletion`), service roles (`roles`), signals (`signals`).

Left out: replacement itself (a resource is updated in place, or the update fails), conditional replacement that the
schema does not declare, stack policies, drift, imports, validation before deployment, hooks.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, helpers, provisioners, stacks

from . import change_sets, conditions, deletion, roles, signals

_last_timestamp = datetime.min.replace(tzinfo=UTC)


def install() -> None:
    """Replace and extend MiniStack's operations."""
    original_resolve = helpers._resolve_template

    def resolve_template(parameters: dict[str, Any]) -> Any:
        url = urlsplit(helpers._p(parameters, "TemplateURL"))
        bucket, is_virtual_hosted, _ = (url.hostname or "").partition(".s3.")
        if is_virtual_hosted:
            parameters = {**parameters, "TemplateURL": [f"https://s3.amazonaws.com/{bucket}{unquote(url.path)}"]}
        return original_resolve(parameters)

    for module in (helpers, handlers, changesets):
        module._resolve_template = resolve_template
    change_sets.install(handlers._ACTION_HANDLERS)
    conditions.install()
    deletion.install()
    roles.install(handlers._ACTION_HANDLERS)
    signals.install()
    stacks.now_iso = _unique_timestamp
    _roll_back_in_place()


def _unique_timestamp() -> str:
    """Return the time in milliseconds, later than at the previous call, because events are sorted by it."""
    global _last_timestamp
    _last_timestamp = max(datetime.now(UTC), _last_timestamp + timedelta(milliseconds=1))
    return f"{_last_timestamp:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _roll_back_in_place() -> None:
    """Restore the old properties of updated resources, which MiniStack's rollback would delete."""
    deploy, delete = stacks._deploy_stack_async, stacks._delete_resource

    async def deploy_stack(name: str, *arguments: Any, **options: Any) -> None:
        cloudformation._stacks[name]["_before"] = (options.get("previous_stack") or {}).get("_resources", {})
        await deploy(name, *arguments, **options)

    def delete_resource(kind: str, physical_id: str, properties: Any, stack: str, logical_id: str) -> None:
        record = cloudformation._stacks[stack]
        before = record.get("_before", {}).get(logical_id)
        if record["StackStatus"] == "UPDATE_ROLLBACK_IN_PROGRESS" and before:
            provisioners._update_resource(kind, physical_id, properties, before["Properties"], stack, logical_id)
        else:
            delete(kind, physical_id, properties, stack, logical_id)

    for module in (stacks, handlers, changesets):
        module._deploy_stack_async = deploy_stack
    stacks._delete_resource = delete_resource

"""CloudFormation: change sets that say what would be replaced, and what goes with them.

MiniStack makes stacks and change sets. Here a change set tells replacement as CloudFormation
does: by the create-only properties of the resource schemas (those bundled with cfn-lint), with a
detail for each property that changes, and with what references changed resources: `Ref` when the
resource may be replaced, `GetAtt` when it changes at all. Change sets of nested stacks come with
it, and descriptions come in pages. Templates are found at virtual-hosted S3 addresses; a rollback
puts changed resources back, and deletes only new ones; events have an order; what is removed, and
what waits for a signal, is in `removal` and `signals`.

Left out: replacement itself (a resource is updated in place, or refuses), properties that replace on some
conditions without a word of it in the schema, stack policies, drift, imports, validation before a deployment,
hooks, service roles.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, helpers, provisioners, stacks

from . import changes, removal, signals

LAST = [datetime.min.replace(tzinfo=UTC)]


def install() -> None:
    """Put these answers before MiniStack's."""
    find_template = helpers._resolve_template

    def resolve_template(parameters: dict[str, Any]) -> Any:
        url = urlsplit(helpers._p(parameters, "TemplateURL"))
        bucket, found, _ = (url.hostname or "").partition(".s3.")
        if found:
            parameters = {**parameters, "TemplateURL": [f"https://s3.amazonaws.com/{bucket}{unquote(url.path)}"]}
        return find_template(parameters)

    for module in (helpers, handlers, changesets):
        module._resolve_template = resolve_template
    changes.install(handlers._ACTION_HANDLERS)
    removal.install()
    signals.install()
    stacks.now_iso = _later
    _roll_back_in_place()


def _later() -> str:
    """The time in milliseconds, but never the same twice: events are sorted by it."""
    LAST[0] = max(datetime.now(UTC), LAST[0] + timedelta(milliseconds=1))
    return f"{LAST[0]:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _roll_back_in_place() -> None:
    """MiniStack's rollback of an update deletes what was changed; give it the old properties instead."""
    deploy, delete = stacks._deploy_stack_async, stacks._delete_resource

    async def deploy_stack(name: str, *arguments: Any, **named: Any) -> None:
        cloudformation._stacks[name]["_before"] = (named.get("previous_stack") or {}).get("_resources", {})
        await deploy(name, *arguments, **named)

    def delete_resource(kind: str, physical_id: str, properties: Any, stack: str, logical_id: str) -> None:
        found = cloudformation._stacks[stack]
        before = found.get("_before", {}).get(logical_id)
        if found["StackStatus"] == "UPDATE_ROLLBACK_IN_PROGRESS" and before:
            provisioners._update_resource(kind, physical_id, properties, before["Properties"], stack, logical_id)
        else:
            delete(kind, physical_id, properties, stack, logical_id)

    for module in (stacks, handlers, changesets):
        module._deploy_stack_async = deploy_stack
    stacks._delete_resource = delete_resource

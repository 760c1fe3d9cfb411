"""The denied actions, compared with those of their services in the Service Authorization Reference."""

import json
import re
from pathlib import Path

import cfnlint
import pytest

from stacks.cost_control.deny_policy import DENIED_ACTIONS

REFERENCE = json.loads((Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json").read_text())
# Names of actions that start, restore or buy what is charged by the hour or in advance.
STARTS = re.compile(
    "purchase.*|accept.*exchange.*|launchinstances|resumeprocesses|requestspot.*"
    "|run(instances|scheduledinstances|task|jobflow)|restoredb.*|restorefromclustersnapshot"
    "|create(instances|relationaldatabase)fromsnapshot|createautomljob.*|createdbshardgroup|createworkspaces(pool)?"
    "|start(instances?|task|jobrun|workflowrun|pipelineexecution|inferenceexperiment)"
    "|start(dbcluster|dbinstance|relationaldatabase|notebookinstance|workspaces|workspacespool|mlflowtrackingserver)"
    "|create(capacityreservation|capacityreservationfleet|reservation|reservedcapacity|trainingplan|eksanywheresubscription|standbyworkspaces)"
    "|create(taskset|daemon|expressgatewayservice|elasticsearchdomain|bluegreendeployment|containerservice|devendpoint)"
    "|create(marketplacemodelendpoint|custommodeldeployment|inferencecomponent|mlflowtrackingserver)"
    "|create(labeling|optimization|inferencerecommendations|training|processing|transform)job|copyvolumes|importinstance"
    "|increase.*count|submit(service)?job|resumeworkflowrun|startblueprintrun|modifyinstance(fleet|groups)"
    "|registerscalabletarget|put(scalingpolicy|scheduled.*action)"
)


@pytest.mark.parametrize("service", DENIED_ACTIONS)
def test_other_ways_to_start_the_same_are_denied(service: str) -> None:
    denied = {name.lower() for name in DENIED_ACTIONS[service]}
    starts = {action for action in REFERENCE[service]["Actions"] if STARTS.fullmatch(action)}
    assert starts <= denied


def test_every_denied_action_exists() -> None:
    for service, names in DENIED_ACTIONS.items():
        assert {name.lower() for name in names} <= REFERENCE[service]["Actions"].keys()


def test_page_has_the_number_of_actions() -> None:
    count = sum(map(len, DENIED_ACTIONS.values()))
    assert Path("docs/cost_control.md").read_text().count(f" {count} actions") == 2

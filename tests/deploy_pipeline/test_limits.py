"""Time, memory and the size of states, measured with the largest inputs."""

import json
import time
import tracemalloc
from typing import Any

import pytest

from lambdas.deploy_pipeline.approval import MAX_REASON_CHARACTERS
from lambdas.deploy_pipeline.artifact import read_template
from lambdas.deploy_pipeline.inspection import Policy, findings
from lambdas.deploy_pipeline.report import markdown
from lambdas.deploy_pipeline.truncation import truncate

from .changes import change, detail, update
from .machine_run import APP, Machine, zipped
from .scenarios import with_app
from .test_artifact import SparseS3

MAX_STATE_BYTES = 256 * 1024  # of input, output, or the variables that a state assigns


def resources(count: int, details: int) -> list[Any]:
    """Return resources that are updated in place, each with many details that refer to the next one."""
    changes = []
    for number in range(count):
        names = [f"Property{index}" for index in range(details)]
        item = update(
            "AWS::SQS::Queue", dict.fromkeys(names, "a" * 50), dict.fromkeys(names, "b" * 50), f"Queue{number}"
        )
        references = [
            detail("Always", "Dynamic", name=name, source="ResourceAttribute", entity=f"Queue{number + 1}.QueueName")
            for name in names
        ]
        if number + 1 < count:
            item["ResourceChange"] |= {"Replacement": "Conditional", "Details": references}
        changes.append(item)
    return changes


def seconds(changes: list[Any], expected: str) -> float:
    """Return the shortest processor time of three inspections with a report."""
    times = []
    for _ in range(3):
        start = time.process_time()
        assert expected in markdown(APP, list(findings(changes, Policy())))
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="hundreds of changes that depend on each other",
)
@pytest.mark.parametrize("is_safe", [True, False])
def test_inspection_takes_linear_time(is_safe: bool) -> None:
    """If the last resource is replaced, all others may be replaced, because each refers to the next one."""
    times = []
    for count in (100, 500):
        changes = resources(count, 100)
        if not is_safe:
            changes[-1]["ResourceChange"]["Replacement"] = "True"
        times.append(seconds(changes, "0 unsafe" if is_safe else f"{count} unsafe"))
    few, many = times
    assert many < 10, f"{many} seconds; on an idle computer, it takes less than one"
    assert many < 3 * 5 * few, f"{few} seconds for 100 resources, {many} for 500"


def largest_state(machine: Machine, **fields: Any) -> int:
    """Return the largest number of bytes of a payload, a result, an output, or an error of an execution."""
    sizes: list[int] = []
    invoke = machine._function

    def measured(name: str, payload: dict[str, Any]) -> Any:
        result = invoke(name, payload)
        sizes.extend(size(value) for value in (payload, result))
        return result

    machine._function = measured  # type: ignore[method-assign]
    ended = machine.run(**fields)
    assert not ended.error or ended.error == "UnsafeChanges", ended.error
    return max(*sizes, size(ended.output), size(ended.cause))


def size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


@pytest.mark.parametrize("on_unsafe", ["fail", "ask", "blue_green"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the largest input, and thousands of unsafe changes with long values",
    expected="no state exceeds 256 KB",
    observed="measured for each payload, result and output",
)
def test_states_are_smaller_than_limit(monkeypatch: pytest.MonkeyPatch, on_unsafe: str) -> None:
    machine = Machine(monkeypatch)
    letters = "\u20ac\U0001f600" * 30  # three and four bytes each
    names = [f"Property{number}" for number in range(40)]
    lossy = update("AWS::SQS::Queue", dict.fromkeys(names, letters), dict.fromkeys(names, letters[::-1]))
    lossy["ResourceChange"] |= {"Replacement": "True", "Details": [detail("Always", name=name) for name in names]}
    with_app(machine)
    machine.cloudformation.changes = [
        {**lossy, "ResourceChange": lossy["ResourceChange"] | {"LogicalResourceId": f"Queue{number}"}}
        for number in range(300)
    ]
    parameters = {f"Long{number}": "x" * 4096 for number in range(46)}
    machine.cloudformation.declared = list(parameters)
    machine.people.messages = [{"decision": "approve", "reason": "\u20ac" * MAX_REASON_CHARACTERS}]
    largest = largest_state(machine, onUnsafe=on_unsafe, parameters=parameters)
    assert 150_000 < largest < MAX_STATE_BYTES


def test_truncate_counts_bytes() -> None:
    text = "\n".join(["3 unsafe changes:", *["\u20ac" * 20] * 3])  # 18 + 3 * 61 - 1 bytes
    shown = truncate(text, 120)
    assert shown == "\n".join(["3 unsafe changes:", "\u20ac" * 20, "... and 2 more lines"])
    assert len(truncate("\u20ac" * 100, 50).encode()) <= 50
    assert truncate(text, len(text.encode())) == text


class GigabyteS3(SparseS3):
    size = 2**30


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an artifact of 1 GB",
    expected="only the file list and the template are read, in ranges, within 64 MB of memory",
    observed="less than 1 MB of a sparse file",
)
def test_artifact_of_a_gigabyte_is_read_in_ranges() -> None:
    archive = zipped(**{f"assets/{number}_bin": "x" for number in range(1000)}, template_yaml="Resources: {}")
    tracemalloc.start()
    try:
        assert read_template(GigabyteS3({"b/k": archive}), "b", "k", "template.yaml") == b"Resources: {}"
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 * 2**20, f"{most} bytes of memory were used"


def test_safe_change_set_costs_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report adds one request to S3, and neither an invocation nor a transition."""
    machine = Machine(monkeypatch)
    with_app(machine, change())
    ended = machine.run()
    assert (len(machine.invoked), len(ended.states)) == (3, 13)

"""Cold start of a handler, compared with importing boto3 and with creating the same clients."""

import shutil
import tempfile
from functools import partial
from pathlib import Path

from rich.progress import Progress

from sandbox.process import ACCOUNT, REGION

from .report import Row, milliseconds
from .timing import Rounds, child_environment, in_turn, megabytes_after, seconds_inside

PROCESSES = 21
CALL = """from {module} import handler
class Context:
    invoked_function_arn = "arn:aws:lambda:{region}:{account}:function:measured"
handler({event!r}, Context)"""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "sandbox"}
NOTE = (
    "Cold start: timed inside new processes, without interpreter startup. boto3's bytecode is compiled; the function's "
    "code is compiled at each start, because its package contains only sources: bytecode would depend on the Python "
    "version that packages it."
)


def cold_start(
    progress: Progress, package: Path, *, module: str, event: object, clients: str, environment: dict[str, str]
) -> tuple[Row, ...]:
    """Import `module` from the folder of `package`, call its handler with `event`, and time both.

    clients: the statements that create its clients. environment: the function's variables.
    """
    handler = CALL.format(module=module, region=REGION, account=ACCOUNT, event=event)
    programs = {"handler": handler, "import": "import boto3", "clients": clients}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        bytecode = Path(name)
        region = {"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
        variables = child_environment(bytecode) | CREDENTIALS | region | environment
        for statements in programs.values():
            seconds_inside(statements, cwd=package.parent, environment=variables)
        # boto3 and the standard library stay compiled; the package does not, as on Lambda.
        shutil.rmtree(bytecode.joinpath(*package.resolve().parts[1:]))
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        measurements = {
            name: partial(seconds_inside, statements, cwd=package.parent, environment=variables)
            for name, statements in programs.items()
        }
        memory = {
            name: megabytes_after(statements, cwd=package.parent, environment=variables)
            for name, statements in programs.items()
        }
        return (*_rows(in_turn(progress, "Cold starts", PROCESSES, measurements)), _memory_row(memory))


def _memory_row(megabytes: dict[str, float]) -> Row:
    return Row(
        "Peak resident memory after the first call",
        f"{megabytes['handler']:.0f} MB",
        compared_with=f"a handler that imports boto3 and creates the same clients: {megabytes['clients']:.0f} MB",
        ratio=megabytes["handler"] / megabytes["clients"],
        conditions="one process each; Linux only",
    )


def _rows(seconds: Rounds) -> tuple[Row, ...]:
    others = {
        "import": "a handler that only imports boto3",
        "clients": "a handler that imports boto3 and creates the same clients",
    }
    return tuple(
        Row(
            "Cold start: import and first call",
            milliseconds(seconds.median("handler")),
            compared_with=f"{what}: {milliseconds(seconds.median(name))}",
            ratio=seconds.ratio("handler", name),
            conditions=f"medians of {PROCESSES} interleaved processes; the first invocation calls no AWS API",
        )
        for name, what in others.items()
    )

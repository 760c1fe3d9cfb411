"""The edge function in Python, next to the CloudFront Function in JavaScript (`static_site:edge=function`)."""

import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from rich.progress import Progress

from lambdas.static_site.rewrite import MAX_KEY_BYTES, RewriteOptions
from sandbox.process import ROOT
from settings.static_site import StaticSiteSettings
from stacks.static_site.rewriter import viewer_request_code

from .report import Row, Section
from .timing import Rounds, child_environment, in_turn, output_of

HANDLERS = ROOT / "lambdas" / "static_site"
ROUNDS, CALLS = 11, 5_000
EVENT = {
    "Records": [
        {"cf": {"config": {"eventType": "origin-request"}, "request": {"method": "GET", "querystring": "", "uri": "/"}}}
    ]
}
URIS = ("/subdirectory/", "/subdirectory", "/release-1.2/", "/style.css")
# Each as long as CloudFront's limit for a URI, or as S3's for a key.
MAX_URI_CHARACTERS = 8192  # characters, with the domain name
HOSTILE = (
    "/" * MAX_URI_CHARACTERS,
    "/" + "%2e" * (MAX_URI_CHARACTERS // 3),
    "/" + "/.." * (MAX_URI_CHARACTERS // 3),
    "/" + "%" * MAX_URI_CHARACTERS,
    "/" + "+" * (MAX_KEY_BYTES - 1),
    "/" + "a/" * (MAX_KEY_BYTES // 2 - 1) + "b",
    "/" + "." * (MAX_KEY_BYTES - 1),
)
PYTHON_CALLS = """import json, sys, time
from static_site.handler import handler
event, uris, calls = json.load(sys.stdin)
request = event["Records"][0]["cf"]["request"]
def measure(uri, calls):
    started = time.perf_counter()
    for number in range(calls):
        request["uri"] = uri
        handler(event, None)
    return (time.perf_counter() - started) / calls
for uri in uris:
    measure(uri, calls // 10)
print(json.dumps([measure(uri, calls) for uri in uris]))
"""
NODE_CALLS = """'use strict';
const [event, uris, calls] = JSON.parse(require('fs').readFileSync(0));
const request = event.Records[0].cf.request;
request.headers = { host: { value: 'www.example.com' } };
request.rawQueryString = () => '';
const measure = (uri, calls) => {
  const started = process.hrtime.bigint();
  for (let number = 0; number < calls; number++) {
    request.uri = uri;
    handler({ request });
  }
  return Number(process.hrtime.bigint() - started) / 1e9 / calls;
};
for (const uri of uris) measure(uri, calls / 10);
console.log(JSON.stringify(uris.map((uri) => measure(uri, calls))));
"""
NOTES = (
    "Time per request, without the runtimes of Lambda and CloudFront. Node.js, which has a just-in-time compiler, runs "
    "the JavaScript here; CloudFront's runtime is another one. All take far less time than the network.",
    f"Hostile URIs are up to {MAX_URI_CHARACTERS:,} characters long: slashes, dots, escapes, characters to escape.",
)


def measure(progress: Progress) -> Section:
    """Time both functions for usual and hostile URIs, interleaved."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        package = folder / "static_site"
        shutil.copytree(HANDLERS, package, ignore=shutil.ignore_patterns("__pycache__"))
        (package / "settings.json").write_text(json.dumps(RewriteOptions()._asdict()))  # as the stack writes them
        (folder / "function.js").write_text(viewer_request_code(RewriteOptions(), StaticSiteSettings()) + NODE_CALLS)
        environment = child_environment(folder / "bytecode")
        programs = {"python": [sys.executable, "-c", PYTHON_CALLS], "javascript": ["node", "function.js"]}

        def seconds(program: list[str], uris: tuple[str, ...], calls: int, choose: str) -> float:
            stdin = json.dumps([EVENT, uris, calls])
            figures = json.loads(output_of(program, cwd=folder, environment=environment, stdin=stdin))
            return float(sorted(figures)[len(figures) // 2] if choose == "median" else max(figures))

        rounds = in_turn(
            progress,
            "Requests",
            ROUNDS,
            {
                f"{language} {choose}": partial(seconds, program, uris, calls, choose)
                for choose, uris, calls in (("median", URIS, CALLS), ("worst", HOSTILE, CALLS // 50))
                for language, program in programs.items()
            },
        )
    return Section("static_site", (_row(rounds, "median"), _row(rounds, "worst")), NOTES)


def _row(rounds: Rounds, choose: str) -> Row:
    python, javascript = f"python {choose}", f"javascript {choose}"
    what = f"{len(URIS)} usual URIs, median" if choose == "median" else f"{len(HOSTILE)} hostile URIs, worst"
    return Row(
        f"Edge function: {what}",
        f"{rounds.median(python) * 1e6:.1f} µs",
        compared_with=f"`edge: function` in JavaScript: {rounds.median(javascript) * 1e6:.1f} µs",
        ratio=rounds.ratio(python, javascript),
        conditions=f"medians of {ROUNDS} interleaved processes",
    )

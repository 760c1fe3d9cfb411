"""The edge function, compared with the original post's one-line rewrite in Node.js."""

import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from rich.progress import Progress

from lambdas.static_site.rewrite import RewriteOptions
from sandbox.process import ROOT

from .report import Row, Section
from .timing import Rounds, child_environment, in_turn, output_of, seconds_inside

HANDLERS = ROOT / "lambdas" / "static_site"
SETTINGS = RewriteOptions()._asdict()  # as the stack writes them
ROUNDS, CALLS = 15, 20_000
EVENT = {
    "Records": [
        {"cf": {"config": {"eventType": "origin-request"}, "request": {"method": "GET", "querystring": "", "uri": "/"}}}
    ]
}
URIS = ("/subdirectory/", "/subdirectory", "/release-1.2/", "/style.css")
# The original post's function, for current Node.js versions.
POST = """exports.handler = async (event) => {
  const request = event.Records[0].cf.request;
  request.uri = request.uri.replace(/\\/$/, '/index.html');
  return request;
};
"""
PYTHON_CALLS = """import json, time
from static_site.handler import handler
event, uris = json.loads({event!r}), {uris!r}
request = event["Records"][0]["cf"]["request"]
started = time.perf_counter()
for number in range({calls}):
    request["uri"] = uris[number % 4]
    handler(event, None)
print((time.perf_counter() - started) / {calls})
"""
NODE_CALLS = """const {{ handler }} = require('./post.js');
(async () => {{
  const event = {event}, uris = {uris}, request = event.Records[0].cf.request;
  const started = process.hrtime.bigint();
  for (let number = 0; number < {calls}; number++) {{
    request.uri = uris[number % 4];
    await handler(event);
  }}
  console.log(Number(process.hrtime.bigint() - started) / 1e9 / {calls});
}})();
"""
PYTHON_START = "from static_site.handler import handler"
NODE_START = """const started = process.hrtime.bigint();
require('./post.js');
console.log(Number(process.hrtime.bigint() - started) / 1e9);
"""
NOTES = (
    "Node.js has a just-in-time compiler. The original post's handler is one regular expression; this project's "
    "handles files, directories, redirects and hostile paths. Both take far less time than the network.",
)


def measure(progress: Progress) -> Section:
    """Time both handlers, interleaved."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        package = folder / "static_site"
        shutil.copytree(HANDLERS, package, ignore=shutil.ignore_patterns("__pycache__"))
        (package / "settings.json").write_text(json.dumps(SETTINGS, indent=1))
        (folder / "post.js").write_text(POST)
        environment = child_environment(folder / "bytecode")

        def seconds(program: list[str]) -> float:
            return float(output_of(program, cwd=folder, environment=environment))

        event, uris = json.dumps(EVENT), json.dumps(URIS)
        python, node = [sys.executable, "-c"], ["node", "-e"]
        calls = in_turn(
            progress,
            "Requests",
            ROUNDS,
            {
                "ours": partial(seconds, [*python, PYTHON_CALLS.format(event=event, uris=URIS, calls=CALLS)]),
                "post": partial(seconds, [*node, NODE_CALLS.format(event=event, uris=uris, calls=CALLS)]),
            },
        )
        starts = in_turn(
            progress,
            "Cold imports",
            ROUNDS,
            {
                "ours": partial(seconds_inside, PYTHON_START, cwd=folder, environment=environment),
                "post": partial(seconds, [*node, NODE_START]),
            },
        )
    return Section("static_site", _rows(calls, starts), NOTES)


def _rows(calls: Rounds, starts: Rounds) -> tuple[Row, ...]:
    post = "the original post's rewrite in Node.js"
    return (
        Row(
            "Handler, per request",
            f"{calls.median('ours') * 1e6:.1f} µs",
            compared_with=f"{post}: {calls.median('post') * 1e6:.1f} µs",
            ratio=calls.ratio("ours", "post"),
            conditions=f"medians of {ROUNDS} interleaved processes, {CALLS:,} requests each, four kinds of URI",
        ),
        Row(
            "Cold import",
            f"{starts.median('ours') * 1000:.1f} ms",
            compared_with=f"{post}: {starts.median('post') * 1000:.1f} ms",
            ratio=starts.ratio("ours", "post"),
            conditions=f"medians of {ROUNDS} interleaved processes",
        ),
    )

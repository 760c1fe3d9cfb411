"""The Python client, against a local API with predefined responses."""

import importlib.util
import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest

from ..conftest import ROOT

pytestmark = pytest.mark.enable_socket
TRUNCATED = 1  # status 200, and a connection that closes within the body
PATH = ROOT / "assets" / "multi_region_api" / "client" / "client.py"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("client", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "DELAY_SECONDS", 0.001)
    return module


@pytest.fixture
def api() -> Iterator[tuple[str, list[int], set[Any]]]:
    """The URL, the statuses to return in order (0 closes the connection), and the addresses of the connections."""
    statuses: list[int] = []
    connections: set[Any] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # would keep connections

        def do_GET(self) -> None:
            connections.add(self.client_address)
            status = statuses.pop(0)
            if not status:
                self.close_connection = True
                return
            self.send_response(200 if status == TRUNCATED else status)
            self.close_connection = status == TRUNCATED
            self.send_header("Content-Length", "99" if status == TRUNCATED else "16")
            self.end_headers()
            self.wfile.write(b'{"region": "us"}')

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", statuses, connections
    server.shutdown()
    server.server_close()


@pytest.mark.reliability(
    "multi_region_api",
    "Lost event or response",
    fault="an unhealthy Region returns 5xx or 429, or closes the connection",
    expected="the client retries on a new connection, after a random delay",
    observed="the next response, one connection for each attempt",
)
def test_failed_call_is_retried_on_a_new_connection(client: ModuleType, api: tuple[str, list[int], set[Any]]) -> None:
    url, statuses, connections = api
    statuses += [503, 0, 429, TRUNCATED, 200]
    assert client.get(url) == {"region": "us"}
    assert len(connections) == 5


@pytest.mark.reliability(
    "multi_region_api",
    "Lost event or response",
    fault="an unhealthy Region returns 5xx or 429, or closes the connection",
)
def test_retry_calls_the_regions_by_their_own_names(
    client: ModuleType, api: tuple[str, list[int], set[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS responses are valid for 60 s, so the shared name leads to the same Region for a while."""
    url, statuses, _ = api
    statuses += [502, 502, 200, 200]
    called: list[str] = []
    urlopen = client.urllib.request.urlopen

    def record(target: str, **options: Any) -> Any:
        called.append(target)
        return urlopen(target, **options)

    monkeypatch.setattr(client.urllib.request, "urlopen", record)
    assert client.get(f"{url}shared", f"{url}a", f"{url}b") == {"region": "us"}
    assert called[0] == f"{url}shared"
    assert sorted(called[1:]) == [f"{url}a", f"{url}b"]


@pytest.mark.parametrize(("returned", "raised"), [([404, 200], 404), ([500] * 6, 500)])
def test_client_error_and_last_failure_are_raised(
    client: ModuleType, api: tuple[str, list[int], set[Any]], returned: list[int], raised: int
) -> None:
    url, statuses, _ = api
    statuses += returned
    with pytest.raises(urllib.error.HTTPError) as error:
        client.get(url)
    assert error.value.code == raised

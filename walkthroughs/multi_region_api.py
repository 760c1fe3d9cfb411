"""One name, two regions; one says that it is sick, and everyone is led to the other."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dns.exception
import urllib3

from lambdas.multi_region_api.health import TOKEN

from .browser import browser
from .client_networks import CLIENT_NETWORKS
from .dns_lookup import resolve
from .polling import poll_in_background
from .walkthrough import PreconditionError, RestoringWalkthrough, SkipStep, Target, step

SYSTEM, THIRD_REGION = "multi_region_api", "eu-west-1"
CLIENT = Path(__file__).parents[1] / "assets" / SYSTEM / "client"
PAUSE = 0.1  # seconds between two calls by name
STEADY = 20  # calls in a row; Route 53's servers do not all change their answer at the same moment
# The address of a client near each region.
CALLERS = {region: network.partition("/")[0] for region, network in CLIENT_NETWORKS.items()}
NO_NAME = "the regions have no common name: deploy with multi_region_api:domain_name"


@dataclass(frozen=True)
class Call:
    """A call by name: when it ended (seconds of the monotonic clock), and who answered how."""

    at: float
    region: str
    status: int


class MultiRegionApiWalkthrough(RestoringWalkthrough):
    """The post's drill, and what it leaves out."""

    stacks = ("MultiRegionApi-*",)
    regions = ("us-east-1", "us-west-2", THIRD_REGION)

    @classmethod
    def settings(cls, target: Target) -> dict[str, str]:
        """Make the hosted zone that the name is in."""
        zone = target.client("route53").create_hosted_zone(Name="example.com", CallerReference=SYSTEM)["HostedZone"]
        values = {"domain_name": "api.example.com", "hosted_zone_name": "example.com"}
        values["hosted_zone_id"] = zone["Id"].rpartition("/")[2]
        values["cloudwatch_role"] = "true"  # the account is new, and has none
        return {f"{SYSTEM}:{name}": value for name, value in values.items()}

    def _prepare(self) -> None:
        home = self.target.session.region_name
        outputs = self.target.outputs(f"MultiRegionApi-{home}", home)
        self.route53 = self.target.client("route53")
        self.url, self.zone_id = outputs.get("Url", ""), outputs.get("HostedZoneId", "")
        self.name = urlsplit(self.url).netloc
        found = self._regions_of_the_name() if self.url else [home]
        self.outputs = {region: self.target.outputs(f"MultiRegionApi-{region}", region) for region in found}
        self._check_name_servers(home)
        for region in self.outputs:
            self.cleanup.callback(self._set_variables, region, self._variables(region))

    def _check_name_servers(self, region: str) -> None:
        if not self.url:
            return
        try:
            resolve(self.target, self.zone_id, self.name, "A", CALLERS.get(region, CALLERS["us-east-1"]))
        except (OSError, dns.exception.Timeout) as error:
            raise PreconditionError(
                f"no answer from the name servers of zone {self.zone_id} over UDP port 53 ({error or 'timeout'}); "
                "allow it, or use another network"
            ) from None

    def _variables(self, region: str) -> dict[str, str]:
        """The variables of the health function, which must leave the decision to the dependencies."""
        name = self.outputs[region]["HealthFunctionName"]
        configuration = self.target.client("lambda", region).get_function_configuration(FunctionName=name)
        variables: dict[str, str] = configuration.get("Environment", {}).get("Variables", {})
        if variables.get("STATUS") != "check":
            raise PreconditionError(
                f"STATUS of function {name} in {region} is {variables.get('STATUS')!r}, not 'check'; set it back: "
                f"aws lambda update-function-configuration --region {region} --function-name {name} "
                "--environment 'Variables={STATUS=check}'"
            )
        return variables

    @step
    def each_region_answers(self) -> str:
        """Call each region by its own address."""
        for region, outputs in self.outputs.items():
            answer = self.target.get(f"{outputs['RegionalUrl']}helloworld")
            assert (answer.status, answer.json()["message"]) == (200, f"Hello from {region}"), _said(answer)
            assert answer.headers["access-control-allow-origin"] == "*", "a page in a browser could not read it"
            health = self._health(region)
            assert health.status == 200 and TOKEN in health.data.decode(), _said(health)  # noqa: PT018
        return ", ".join(f'"Hello from {region}"' for region in self.outputs)

    @step
    def nearer_region_answers_to_the_name(self) -> str:
        """Call the name from both sides of a continent."""
        seen = []
        for region in self._two():
            assert resolve(self.target, self.zone_id, self.name, "AAAA", CALLERS[region]), "no IPv6 address"
            call = self._call(near=region)
            assert (call.region, call.status) == (region, 200), f"near {region}, {call.region} answered {call.status}"
            seen.append(f"near {region}: {call.region}")
        return "; ".join(seen)

    @step
    def traffic_leaves_the_sick_region(self) -> str:
        """Set STATUS to fail in one region, and go on calling."""
        sick, other = self._two()
        with self._calls(near=sick) as calls:
            started = time.monotonic()
            self._set_status(sick, "fail")
            health = self._health(sick)
            assert health.status == 503 and TOKEN not in health.data.decode(), _said(health)  # noqa: PT018
            self._until_seen(sick, "Failure: HTTP Status Code 503")
            moved = self._until_answered_by(other, calls) - started
        self._none_failed(calls)
        return f"{other} answers after {moved:.1f} s; {len(calls)} calls, none failed"

    @step
    def traffic_returns(self) -> str:
        """Set STATUS back."""
        sick, _ = self._two()
        with self._calls(near=sick) as calls:
            self._set_status(sick, "check")
            self._until_answered_by(sick, calls)
        self._none_failed(calls)
        return f"{sick} answers again; {len(calls)} calls, none failed"

    @step
    def broken_health_function_is_sick(self) -> str:
        """Break the health function itself."""
        sick, other = self._two()
        client, name = self.target.client("lambda", sick), self.outputs[sick]["HealthFunctionName"]
        handler = client.get_function_configuration(FunctionName=name)["Handler"]
        with self._calls(near=sick) as calls:
            client.update_function_configuration(FunctionName=name, Handler="multi_region_api.nothing.handler")
            try:
                self._until_answered_by(other, calls)
                health = self._health(sick)
            finally:
                client.get_waiter("function_updated_v2").wait(FunctionName=name)
                client.update_function_configuration(FunctionName=name, Handler=handler)
            self._until_answered_by(sick, calls)
        self._none_failed(calls)
        return f"it answers {health.status}, and {other} takes over until it works again"

    @step
    def name_is_answered_although_every_region_is_sick(self) -> str:
        """Let every region say that it is sick, one after the other."""
        first, _ = self._two()
        others = [region for region in self.outputs if region != first]
        with self._calls(near=first) as calls:
            self._set_status(first, "fail")
            self.target.wait_until(lambda: calls and calls[-1].region != first, f"someone else than {first}")
            for region in others:
                self._set_status(region, "fail")
            self._until_answered_by(first, calls)  # when none is healthy, Route 53 takes all for healthy
        self._none_failed(calls)
        for region in self.outputs:
            self._set_status(region, "check")
        for region in self.outputs:
            self._until_seen(region, "Success")
        return f"Route 53 goes by latency alone: {first} answers, sick or not; {len(calls)} calls, none failed"

    @step
    def page_shows_the_switch(self) -> str:
        """Open the page in a browser, and do the drill again."""
        self._two()
        if not self.target.endpoints:
            raise SkipStep(f"a browser can keep its connection to a region for long; open {CLIENT.name}/ yourself")
        with tempfile.TemporaryDirectory() as name, browser(self.target, height=820) as driver:
            page = Path(shutil.copytree(CLIENT, name, dirs_exist_ok=True))
            (page / "settings.js").write_text(f'const SETTINGS = {{ url: "{self.url}helloworld", every: 250 }};\n')
            driver.get((page / "index.html").as_uri())
            here = self._shown(driver, self.outputs)
            self._picture(driver, "before")
            self._set_status(here, "fail")
            there = self._shown(driver, [region for region in self.outputs if region != here])
            self._picture(driver, "after")
            switches = driver.find_element("id", "switches").text
            counted = driver.find_element("id", "counts").text
            self._set_status(here, "check")
        assert f"{here} \u2192 {there}" in switches, f"the page shows no switch: {switches}"
        assert counted.endswith(" 0 failed"), counted
        return f'the page shows "{switches}"; {counted}'

    @step
    def third_region_comes_with_one_setting(self) -> str:
        """Add a region to the settings, and deploy it."""
        self._two()
        if THIRD_REGION in self.outputs:
            raise SkipStep(f"{THIRD_REGION} is deployed already")
        if not self.target.deploy:
            raise SkipStep("it would deploy to your account; add a region to multi_region_api:regions yourself")
        regions = [*self.outputs, THIRD_REGION]
        zone = self.route53.get_hosted_zone(Id=self.zone_id)["HostedZone"]
        values = {
            "regions": json.dumps(regions),
            "domain_name": self.name,
            "hosted_zone_id": self.zone_id,
            "hosted_zone_name": zone["Name"].rstrip("."),
            "cloudwatch_role": "true",
        }
        stack = f"MultiRegionApi-{THIRD_REGION}"
        self.cleanup.callback(self.target.client("cloudformation", THIRD_REGION).delete_stack, StackName=stack)
        self.target.deploy(stack, {f"{SYSTEM}:{name}": value for name, value in values.items()})
        self.outputs[THIRD_REGION] = self.target.outputs(stack, THIRD_REGION)
        seen = {region: self._call(near=region).region for region in regions if region in CALLERS}
        assert all(near == answered for near, answered in seen.items()), f"not the nearest: {seen}"
        return f"the name leads to {', '.join(seen)}, each for who is near it"

    def _regions_of_the_name(self) -> list[str]:
        """The regions of the latency records, the session's own first."""
        pages = self.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=self.zone_id)
        records = [record for page in pages for record in page["ResourceRecordSets"]]
        regions = {record["Region"] for record in records if record["Name"] == f"{self.name}." and "Region" in record}
        return sorted(regions, key=lambda region: (region != self.target.session.region_name, region))

    def _two(self) -> tuple[str, str]:
        """Two regions near which callers are known."""
        known = [region for region in self.outputs if region in CALLERS]
        if not self.url:
            raise SkipStep(NO_NAME)
        if len(known) < 2:
            raise SkipStep(f"it takes two of the regions {', '.join(CALLERS)}")
        return known[0], known[1]

    def _health(self, region: str) -> urllib3.BaseHTTPResponse:
        return self.target.get(self.outputs[region]["HealthUrl"])

    def _call(self, near: str) -> Call:
        """Find the name's address as a caller near a region does, and call it there."""
        (address, *_) = resolve(self.target, self.zone_id, self.name, "A", CALLERS[near])
        answer = self.target.get(f"{self.url}helloworld", address=address)
        region = answer.json().get("region", "nobody") if answer.status == 200 else "nobody"
        return Call(time.monotonic(), region, answer.status)

    def _calls(self, near: str) -> AbstractContextManager[list[Call]]:
        """Call the name again and again meanwhile; the newest call is the last of the list."""

        def call() -> Call:
            try:
                return self._call(near)
            except Exception as error:
                return Call(time.monotonic(), repr(error), 0)

        return poll_in_background(call, PAUSE)

    def _until_answered_by(self, region: str, calls: list[Call]) -> float:
        """Wait until `region` has answered steadily; give when it began to (seconds of the monotonic clock)."""
        begun = len(calls)

        def steady() -> bool:
            return len(calls) >= begun + STEADY and all(call.region == region for call in calls[-STEADY:])

        self.target.wait_until(steady, f"{STEADY} answers in a row from {region}")
        others = (i for i in range(len(calls) - 1, -1, -1) if calls[i].region != region)
        return calls[next(others, -1) + 1].at

    def _none_failed(self, calls: Iterable[Call]) -> None:
        failed = [call for call in calls if call.status != 200]
        assert not failed, f"{len(failed)} calls failed, the first: {failed[0]}"

    def _until_seen(self, region: str, report: str) -> None:
        """Wait until every health checker reports something that starts so."""
        check_id = self.outputs[region]["HealthCheckId"]

        def seen() -> bool:
            found = self.route53.get_health_check_status(HealthCheckId=check_id)["HealthCheckObservations"]
            reports = [observation["StatusReport"]["Status"] for observation in found]
            return bool(reports) and all(text.startswith(report) for text in reports)

        self.target.wait_until(seen, f"{report!r} in the reports on {region}")

    def _set_status(self, region: str, status: str) -> None:
        """The drill: one variable of the health function."""
        self._set_variables(region, {"STATUS": status})

    def _set_variables(self, region: str, variables: dict[str, str]) -> None:
        client, name = self.target.client("lambda", region), self.outputs[region]["HealthFunctionName"]
        updated = client.get_waiter("function_updated_v2")
        updated.wait(FunctionName=name)  # an interruption can come while Lambda takes up the previous change
        client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        updated.wait(FunctionName=name)

    def _shown(self, driver: Any, regions: Iterable[str]) -> str:
        """Wait until the page shows that one of `regions` answers, and give that."""
        wanted = set(regions)

        def shown() -> str | None:
            text = str(driver.find_element("id", "region").text)
            return text if text in wanted else None

        return self.target.wait_until(shown, f"one of {sorted(wanted)} on the page")

    def _picture(self, driver: Any, moment: str) -> None:
        """Keep what the page shows after some more calls."""
        if not self.target.pictures:
            return
        calls = int(driver.find_element("id", "counts").text.split()[0])
        self.target.wait_until(lambda: f"{calls + 12} calls" in driver.page_source, "twelve more calls on the page")
        driver.save_screenshot(str(self.target.pictures / f"{SYSTEM}_{moment}.png"))


def _said(answer: urllib3.BaseHTTPResponse) -> str:
    return f"{answer.status} {answer.data[:200]!r}"

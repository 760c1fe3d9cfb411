"""Fail over to another Region and back, while calling the API continuously by its domain name."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dns.exception
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdas.multi_region_api.health import TOKEN
from lambdas.multi_region_api.responses import HELLO_PATH

from .client_networks import CLIENT_NETWORKS
from .dns_lookup import resolve
from .emails import confirm_subscriptions, emails_from
from .failover_page import failover_page
from .polling import poll_in_background
from .walkthrough import PreconditionError, RestoringWalkthrough, SkipStep, Step, Target

SYSTEM, THIRD_REGION = "multi_region_api", "eu-west-1"
CALL_INTERVAL = 0.1  # seconds
ALARM_SENDER = "Multi-region API in "  # and the Region
NO_RETRIES = Config(retries={"total_max_attempts": 1})
STEADY_CALLS = 20  # in a row, because Route 53's servers do not all switch at the same moment
# The address of a client near each Region.
CLIENT_ADDRESSES = {region: network.partition("/")[0] for region, network in CLIENT_NETWORKS.items()}
NO_DOMAIN_NAME = "the Regions have no shared domain name: deploy with multi_region_api:domain_name"


@dataclass(frozen=True)
class Call:
    """A call by name: when it finished (monotonic clock, seconds), the Region that responded and the status."""

    finished_at: float
    region: str
    status: int


class MultiRegionApiWalkthrough(RestoringWalkthrough):
    """The original post's failover test, and additional faults."""

    stacks = ("MultiRegionApi-*",)
    regions = ("us-east-1", "us-west-2", THIRD_REGION)

    @classmethod
    def settings(cls, target: Target) -> dict[str, str]:
        """Create the hosted zone of the domain name."""
        zone = target.client("route53").create_hosted_zone(Name="example.com", CallerReference=SYSTEM)["HostedZone"]
        values = {"domain_name": "api.example.com", "hosted_zone_name": "example.com"}
        values |= {"hosted_zone_id": zone["Id"].rpartition("/")[2], "email": "ops@example.com"}
        values["cloudwatch_role"] = "true"  # a new account has none
        return {f"{SYSTEM}:{name}": value for name, value in values.items()}

    def _prepare(self) -> None:
        home = self.target.session.region_name
        outputs = self.target.outputs(f"MultiRegionApi-{home}", home)
        self.route53 = self.target.client("route53")
        self.url, self.zone_id = outputs.get("Url", ""), outputs.get("HostedZoneId", "")
        self.name = urlsplit(self.url).netloc
        regions = self._record_regions() if self.url else [home]
        self.outputs = {region: self.target.outputs(f"MultiRegionApi-{region}", region) for region in regions}
        self._check_name_servers(home)
        self._check_no_region_is_drained()
        confirm_subscriptions(self.target)
        self.emails_before = len(emails_from(self.target, ALARM_SENDER))
        for region in self.outputs:
            self.cleanup.callback(self._set_variables, region, self._variables(region))

    def _check_no_region_is_drained(self) -> None:
        for region in [region for region, outputs in self.outputs.items() if "DrainFunctionName" in outputs]:
            drained = self._change_drains(region, {})["drained"]
            if drained:
                raise PreconditionError(f"{region} drains {', '.join(drained)}; undrain them first")

    def _change_drains(self, region: str, request: dict[str, str]) -> dict[str, Any]:
        """Invoke the function of `region` that drains and undrains other Regions."""
        client, name = self.target.client("lambda", region), self.outputs[region]["DrainFunctionName"]
        response = client.invoke(FunctionName=name, Payload=json.dumps(request))
        result: dict[str, Any] = json.loads(response["Payload"].read())
        return result

    def _check_name_servers(self, region: str) -> None:
        if not self.url:
            return
        try:
            resolve(
                self.target, self.zone_id, self.name, "A", CLIENT_ADDRESSES.get(region, CLIENT_ADDRESSES["us-east-1"])
            )
        except (OSError, dns.exception.Timeout) as error:
            raise PreconditionError(
                f"no response from the name servers of zone {self.zone_id} over UDP port 53 ({error or 'timeout'}); "
                "allow it, or use another network"
            ) from None

    def _variables(self, region: str) -> dict[str, str]:
        """Return the variables of the health function; STATUS must be `check`."""
        name = self.outputs[region]["HealthFunctionName"]
        configuration = self.target.client("lambda", region).get_function_configuration(FunctionName=name)
        variables: dict[str, str] = configuration.get("Environment", {}).get("Variables", {})
        if variables.get("STATUS") != "check":
            raise PreconditionError(
                f"STATUS of function {name} in {region} is {variables.get('STATUS')!r}, not 'check'; set it: "
                f"aws lambda update-function-configuration --region {region} --function-name {name} "
                "--environment 'Variables={STATUS=check}'"
            )
        return variables

    def each_region_responds(self) -> str:
        for region, outputs in self.outputs.items():
            response = self.target.get(f"{outputs['RegionalUrl']}{HELLO_PATH}")
            assert (response.status, response.json()["message"]) == (200, f"Hello from {region}"), _summary(response)
            assert response.headers["access-control-allow-origin"] == "*", "a page in a browser could not read it"
            head = self.target.get(f"{outputs['RegionalUrl']}{HELLO_PATH}", "HEAD")
            assert (head.status, head.headers["x-region"], head.data) == (200, region, b""), _summary(head)
            health = self._health(region)
            assert health.status == 200 and TOKEN in health.data.decode(), _summary(health)  # noqa: PT018
        return ", ".join(f'"Hello from {region}"' for region in self.outputs)

    def name_resolves_to_the_nearest_region(self) -> str:
        observed = []
        for region in self._two_regions():
            assert resolve(self.target, self.zone_id, self.name, "AAAA", CLIENT_ADDRESSES[region]), "no IPv6 address"
            call = self._call(near=region)
            assert (call.region, call.status) == (region, 200), f"near {region}, {call.region} returned {call.status}"
            observed.append(f"near {region}: {call.region}")
        return "; ".join(observed)

    def traffic_leaves_the_unhealthy_region(self) -> str:
        unhealthy, other = self._two_regions()
        with self._calls(near=unhealthy) as calls:
            started = time.monotonic()
            self._set_status(unhealthy, "fail")
            health = self._health(unhealthy)
            assert health.status == 503 and TOKEN not in health.data.decode(), _summary(health)  # noqa: PT018
            self._wait_for_reports(unhealthy, "Failure: HTTP Status Code 503")
            moved = self._wait_for_responses_from(other, calls) - started
        self._assert_none_failed(calls)
        return f"{other} responds after {moved:.1f} s; {len(calls)} calls, none failed"

    def traffic_returns(self) -> str:
        unhealthy, _ = self._two_regions()
        with self._calls(near=unhealthy) as calls:
            self._set_status(unhealthy, "check")
            self._wait_for_responses_from(unhealthy, calls)
        self._assert_none_failed(calls)
        return f"{unhealthy} responds again; {len(calls)} calls, none failed"

    def another_region_drains_the_impaired_one(self) -> str:
        impaired, other = self._two_regions_with_drains()
        self.cleanup.callback(self._change_drains, other, {"undrain": impaired})
        if self.target.impair:
            self.cleanup.callback(self.target.impair, None)
            self.target.impair(impaired)
            client = self.target.session.client("lambda", region_name=impaired, config=NO_RETRIES)
            try:
                client.get_function_configuration(FunctionName=self.outputs[impaired]["HealthFunctionName"])
                status = 200
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            assert status == 503, f"the control plane of {impaired} responds with {status}"
        with self._calls(near=impaired) as calls:
            started = time.monotonic()
            self._change_drains(other, {"drain": impaired})
            moved = self._wait_for_responses_from(other, calls) - started
        self._assert_none_failed(calls)
        health = self._health(impaired)
        assert health.status == 200, _summary(health)
        return (
            f"{other} responds after {moved:.1f} s, while {impaired} reports healthy; {len(calls)} calls, none failed"
        )

    def last_region_cannot_be_drained(self) -> str:
        impaired, other = self._two_regions_with_drains()
        error = self._change_drains(other, {"drain": other}).get("errorMessage", "")
        assert "is not another Region" in error, error
        if self.target.impair:  # the drained Region's control plane works again
            self.target.impair(None)
        refusal = self._change_drains(impaired, {"drain": other}).get("errorMessage", "")
        assert f"is drained by {other}" in refusal, refusal
        return f"{other} rejects the command ({error}), and so does {impaired}: {refusal.partition(',')[0]}"

    def traffic_returns_after_undraining(self) -> str:
        impaired, other = self._two_regions_with_drains()
        with self._calls(near=impaired) as calls:
            self._change_drains(other, {"undrain": impaired})
            self._wait_for_responses_from(impaired, calls)
        self._assert_none_failed(calls)
        if self.target.impair:
            self.target.impair(None)
        return f"{impaired} responds again; {len(calls)} calls, none failed"

    def broken_health_function_is_unhealthy(self) -> str:
        unhealthy, other = self._two_regions()
        with self._calls(near=unhealthy) as calls:
            with self._broken_function(unhealthy, "HealthFunctionName"):
                self._wait_for_responses_from(other, calls)
                health = self._health(unhealthy)
            self._wait_for_responses_from(unhealthy, calls)
        self._assert_none_failed(calls)
        return f"the health path returns {health.status}; {other} serves requests until the function is repaired"

    def alarm_arrives_by_email(self) -> str:
        region, _ = self._two_regions()
        if not self.target.mailbox:
            raise SkipStep(f"if `email` is set, check its mailbox for the alarm Unhealthy or ServerErrors in {region}")
        emails = self.target.wait_until(
            lambda: emails_from(self.target, ALARM_SENDER)[self.emails_before :], "an email about the alarm"
        )
        assert emails[0]["subject"].startswith(f'ALARM: "MultiRegionApi-{region}-Unhealthy'), emails
        return emails[0]["subject"]

    def name_resolves_when_every_region_is_unhealthy(self) -> str:
        first, _ = self._two_regions()
        others = [region for region in self.outputs if region != first]
        with self._calls(near=first) as calls:
            self._set_status(first, "fail")
            self.target.wait_until(
                lambda: calls and calls[-1].region != first, f"a response from a Region other than {first}"
            )
            for region in others:
                self._set_status(region, "fail")
            self._wait_for_responses_from(first, calls)  # if none is healthy, Route 53 treats all as healthy
        self._assert_none_failed(calls)
        for region in self.outputs:
            self._set_status(region, "check")
        for region in self.outputs:
            self._wait_for_reports(region, "Success")
        return f"Route 53 uses latency alone: {first} responds; {len(calls)} calls, none failed"

    def page_shows_the_failover(self) -> str:
        self._two_regions()
        if not self.target.endpoints:
            raise SkipStep(f"it would break a Region; to try the page, open assets/{SYSTEM}/client/index.html")
        regional_urls = [f"https://{region}.{self.url.partition('//')[2]}{HELLO_PATH}" for region in self.outputs]
        with failover_page(self.target, f"{self.url}{HELLO_PATH}", regional_urls) as page:
            first = page.wait_for_region(self.outputs)
            page.take_screenshot("before")
            with self._broken_function(first, "HelloFunctionName"):
                page.wait_for_retry()  # at a Region's own name, while the shared one still leads to the broken Region
                page.take_screenshot("during", calls=0)
                self._set_status(first, "fail")
                self._wait_for_reports(first, "Failure")
                second = page.wait_for_region(region for region in self.outputs if region != first)
                page.take_screenshot("after")
            self._set_status(first, "check")
            switches, counts = page.text("switches"), page.text("counts")
        assert f"{first} \u2192 {second}" in switches, f"the page shows no switch: {switches}"
        assert counts.endswith(" 0 failed"), counts
        return f'the page shows "{switches}"; {counts}'

    def one_setting_adds_a_third_region(self) -> str:
        self._two_regions()
        if THIRD_REGION in self.outputs:
            raise SkipStep(f"{THIRD_REGION} is already deployed")
        if not self.target.deploy:
            raise SkipStep("it would deploy to your account; add a Region to multi_region_api:regions yourself")
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
        # Until its new health checks have reported, the Region counts as drained.
        known = [region for region in regions if region in CLIENT_ADDRESSES]
        nearest = lambda: all(self._call(near).region == near for near in known)  # noqa: E731
        self.target.wait_until(nearest, f"responses from {', '.join(known)}, each to clients near it")
        return f"clients near {', '.join(regions)} are each routed to their nearest Region"

    steps = (
        Step("Call each Region by its Regional URL", each_region_responds),
        Step("Call the domain name as clients near two Regions", name_resolves_to_the_nearest_region),
        Step("Set STATUS to fail in one Region", traffic_leaves_the_unhealthy_region),
        Step("Set STATUS to check again", traffic_returns),
        Step("Read the email about the alarm", alarm_arrives_by_email),
        Step("From another Region, drain one whose control plane is impaired", another_region_drains_the_impaired_one),
        Step("Drain the last Region", last_region_cannot_be_drained),
        Step("Undrain the Region from the one that drains it", traffic_returns_after_undraining),
        Step("Break the health function", broken_health_function_is_unhealthy),
        Step("Set STATUS to fail in every Region, one after the other", name_resolves_when_every_region_is_unhealthy),
        Step("Open the page in a browser, and break one Region", page_shows_the_failover),
        Step("Add a Region to the settings, and deploy it", one_setting_adds_a_third_region),
    )

    def _record_regions(self) -> list[str]:
        """Return the Regions of the latency records, the session's Region first."""
        pages = self.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=self.zone_id)
        records = [record for page in pages for record in page["ResourceRecordSets"]]
        regions = {record["Region"] for record in records if record["Name"] == f"{self.name}." and "Region" in record}
        return sorted(regions, key=lambda region: (region != self.target.session.region_name, region))

    def _two_regions(self) -> tuple[str, str]:
        """Return two Regions with a known client address."""
        known = [region for region in self.outputs if region in CLIENT_ADDRESSES]
        if not self.url:
            raise SkipStep(NO_DOMAIN_NAME)
        if len(known) < 2:
            raise SkipStep(f"this step needs two of the Regions {', '.join(CLIENT_ADDRESSES)}")
        return known[0], known[1]

    def _two_regions_with_drains(self) -> tuple[str, str]:
        regions = self._two_regions()
        if any("DrainFunctionName" not in self.outputs[region] for region in regions):
            raise SkipStep(f"the Regions cannot drain each other: {SYSTEM}:drains is false")
        return regions

    def _health(self, region: str) -> urllib3.BaseHTTPResponse:
        return self.target.get(self.outputs[region]["HealthUrl"])

    def _call(self, near: str) -> Call:
        """Resolve the name as a client near a Region, and call the API at that address."""
        (address, *_) = resolve(self.target, self.zone_id, self.name, "A", CLIENT_ADDRESSES[near])
        response = self.target.get(f"{self.url}{HELLO_PATH}", address=address)
        region = response.json().get("region", "none") if response.status == 200 else "none"
        return Call(time.monotonic(), region, response.status)

    def _calls(self, near: str) -> AbstractContextManager[list[Call]]:
        """Call the name in the background; the last item of the list is the newest call."""

        def call() -> Call:
            try:
                return self._call(near)
            except Exception as error:
                return Call(time.monotonic(), repr(error), 0)

        return poll_in_background(call, min(CALL_INTERVAL, self.target.poll_seconds))

    def _wait_for_responses_from(self, region: str, calls: list[Call]) -> float:
        """Wait until `region` responds to all calls; return when the first of them finished (monotonic clock)."""
        first = len(calls)

        def steady() -> bool:
            return len(calls) >= first + STEADY_CALLS and all(call.region == region for call in calls[-STEADY_CALLS:])

        self.target.wait_until(steady, f"{STEADY_CALLS} responses in a row from {region}")
        others = (i for i in range(len(calls) - 1, -1, -1) if calls[i].region != region)
        return calls[next(others, -1) + 1].finished_at

    def _assert_none_failed(self, calls: Iterable[Call]) -> None:
        failed = [call for call in calls if call.status != 200]
        assert not failed, f"{len(failed)} calls failed, the first: {failed[0]}"

    @contextmanager
    def _broken_function(self, region: str, output: str) -> Iterator[None]:
        """Make each invocation of the function fail until the context is left."""
        client, name = self.target.client("lambda", region), self.outputs[region][output]
        updated = client.get_waiter("function_updated_v2")
        handler = client.get_function_configuration(FunctionName=name)["Handler"]
        client.update_function_configuration(FunctionName=name, Handler="multi_region_api.nothing.handler")
        try:
            yield
        finally:
            updated.wait(FunctionName=name)
            client.update_function_configuration(FunctionName=name, Handler=handler)

    def _wait_for_reports(self, region: str, report: str) -> None:
        """Wait until the status of every health checker starts with `report`."""
        check_id = self.outputs[region]["HealthCheckId"]

        def all_report() -> bool:
            observations = self.route53.get_health_check_status(HealthCheckId=check_id)["HealthCheckObservations"]
            reports = [observation["StatusReport"]["Status"] for observation in observations]
            return bool(reports) and all(text.startswith(report) for text in reports)

        self.target.wait_until(all_report, f"{report!r} in the status reports of {region}")

    def _set_status(self, region: str, status: str) -> None:
        """Set the only variable of the health function."""
        self._set_variables(region, {"STATUS": status})

    def _set_variables(self, region: str, variables: dict[str, str]) -> None:
        client, name = self.target.client("lambda", region), self.outputs[region]["HealthFunctionName"]
        updated = client.get_waiter("function_updated_v2")
        updated.wait(FunctionName=name)  # a previous update can still be in progress
        client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        updated.wait(FunctionName=name)


def _summary(response: urllib3.BaseHTTPResponse) -> str:
    return f"{response.status} {response.data[:200]!r}"

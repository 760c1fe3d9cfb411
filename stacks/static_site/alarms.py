"""Alarms of a site: server errors of the distribution, and failures of its edge function."""

from aws_cdk import Duration, Stack, aws_cloudfront as cloudfront, aws_cloudwatch as cloudwatch

from ..constructs.alarm_topic import AlarmTopic
from .rewriter import Rewriter

# Requests in five minutes. Fewer are left to the rate of server errors, so that no single request raises an alarm.
MIN_FAILURES = 10


def add_alarms(stack: Stack, distribution: cloudfront.Distribution, rewriter: Rewriter, email: str) -> None:
    """Report server errors, and errors and throttling of the edge function, whose viewers get 502 or 503."""
    topic = AlarmTopic(stack, "Topic", display_name="Static site", email=email)
    of_distribution = {"DistributionId": distribution.distribution_id}
    topic.add_alarm(
        "ServerErrors",
        _metric("5xxErrorRate", of_distribution, "Average"),
        "At least 1 percent of the requests in five minutes got a server error",
    )
    for name, metric, problem in (
        ("FunctionErrors", rewriter.metrics.execution_errors, "The edge function failed"),
        ("InvalidResponses", rewriter.metrics.validation_errors, "The edge function returned an invalid result"),
        ("Throttles", rewriter.metrics.throttles, "The edge function was throttled"),
    ):
        topic.add_alarm(
            name,
            _metric(metric, rewriter.metrics.dimensions or of_distribution, "Sum"),
            f"{problem} for at least {MIN_FAILURES} requests in five minutes",
            threshold=MIN_FAILURES,
        )


def _metric(name: str, dimensions: dict[str, str], statistic: str) -> cloudwatch.Metric:
    """Return a metric of CloudFront, with the only statistic that CloudFront supports for it."""
    return cloudwatch.Metric(
        namespace="AWS/CloudFront",
        metric_name=name,
        dimensions_map=dimensions | {"Region": "Global"},
        statistic=statistic,
        period=Duration.minutes(5),
    )

"""The metric that the functions publish with a log line in the CloudWatch embedded metric format.

The line is printed, because Lambda's JSON log format puts the output of `logging` into a "message", in which
CloudWatch does not look for metrics.
"""

import json
import time

NAMESPACE = "DeployPipeline"
EDITED_INPUT = "EditedInput"


def put_edited_input(execution: str) -> None:
    """Count an execution whose input is not the deployed one."""
    metrics = {"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{"Name": EDITED_INPUT, "Unit": "Count"}]}
    metadata = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}
    print(json.dumps({"_aws": metadata, EDITED_INPUT: 1, "execution": execution}))

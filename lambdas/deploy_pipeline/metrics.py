"""The metric that the functions publish with a log line in the CloudWatch embedded metric format."""

import time
from typing import Any

NAMESPACE = "DeployPipeline"
EDITED_INPUT = "EditedInput"


def edited_input_record(execution: str) -> dict[str, Any]:
    """Return the log line that counts an execution whose input is not the deployed one."""
    metrics = {"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{"Name": EDITED_INPUT, "Unit": "Count"}]}
    metadata = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}
    return {"_aws": metadata, EDITED_INPUT: 1, "execution": execution}

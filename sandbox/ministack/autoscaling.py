"""Auto Scaling: groups, which have instances."""

from .names import Replaceable, need

groups = need("services.autoscaling._asgs", "tags and instances of groups")
launch_configurations = need("services.autoscaling._launch_configs", "instances of groups")
operations = need("services.autoscaling._ACTION_MAP", "filters, capacity and deletion of groups")
error_response = need("services.autoscaling._error", "error responses", "code message")
reconcile = Replaceable("services.autoscaling._reconcile_instances", "instances of groups", "asg")

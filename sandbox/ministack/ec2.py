"""EC2: security groups, instances and flow logs."""

from .names import Replaceable, need

handle_request = Replaceable("services.ec2.handle_request", "events of calls", "method path headers body query_params")
ensure_defaults = need("services.ec2._ensure_defaults_initialized", "the default VPC", "")
default_vpc_id = need("services.ec2._DEFAULT_VPC_ID", "the default VPC")
default_subnet_id = need("services.ec2._DEFAULT_SUBNET_ID", "permissions to launch instances")
default_security_group_id = need("services.ec2._DEFAULT_SG_ID", "permissions to launch instances")
operations = need("services.ec2._ACTION_MAP", "rules, and states of instances")
template_permissions = need("services.cloudformation.provisioners._ec2_sg_permissions", "rules of templates", "rules")
security_groups = need("services.ec2._security_groups", "security group rules")
prefix_lists = need("services.ec2._prefix_lists", "sources of rules")
managed_prefix_list = need("services.ec2._resolve_aws_pl_by_id", "sources of rules")
tags = need("services.ec2._tags", "tags of instances")
xml_response = need("services.ec2._xml", "responses", "status root_tag inner")
error_response = need("services.ec2._error", "error responses", "code message status")
instances = need("services.ec2._instances", "instances of templates")
launch_templates = need("services.ec2._launch_templates", "instances of templates")
launch_instances = need(
    "services.ec2._launch_instances_internal", "instances of templates", "image_id instance_type subnet_id count"
)
terminate_instances = need("services.ec2._terminate_instances", "instances of templates", "p")
flow_logs = need("services.ec2._flow_logs", "flow logs of templates")
resource_type = need("services.ec2._guess_resource_type", "resources of operations", "resource_id")

"""IAM: evaluation of policies, and their enforcement for every request of users, roles and services.

`authorization` decides each request by the policies that `policies` finds. `operations`, `actions` and `implied`
determine the permissions that an operation requires. `services`, `event_sources` and `provisioning` do so for calls
that services make. `identities` has users and groups, and `resource_handlers` stores boundaries and secrets.

Not implemented: session policies, service control policies, other accounts, tags of services other than EC2 and Auto
Scaling, policies of VPC endpoints, resources of nested stacks, and permissions that CloudFormation needs in services
other than that of the resource.
"""


def install() -> None:
    """Enforce policies. Install the services first."""
    from . import event_sources, identities, provisioning, resource_handlers, services

    for module in (resource_handlers, identities, provisioning, services, event_sources):
        module.install()

"""Secrets Manager: secrets and their policies."""

from .names import need

secrets = need("services.secretsmanager._secrets", "policies of secrets")
resource_policies = need("services.secretsmanager._resource_policies", "policies of secrets")

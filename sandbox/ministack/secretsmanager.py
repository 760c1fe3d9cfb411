"""Secrets Manager: secrets."""

from .names import need

secrets = need("services.secretsmanager._secrets", "ARNs of secrets")

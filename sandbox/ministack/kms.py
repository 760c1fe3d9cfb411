"""KMS: keys."""

from .names import need

resolve_key = need("services.kms._resolve_key", "policies of keys", "key_id_or_arn")

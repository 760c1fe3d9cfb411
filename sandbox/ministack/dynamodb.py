"""DynamoDB: settings of tables of templates."""

from .names import need

tables = need("services.dynamodb._tables", "encryption of tables")
encryption_description = need("services.dynamodb._sse_description_from_spec", "encryption of tables", "spec")
update_time_to_live = need("services.dynamodb._update_ttl", "expiry of items", "data")
update_continuous_backups = need("services.dynamodb._update_continuous_backups", "point-in-time recovery", "data")

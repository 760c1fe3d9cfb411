"""Glue: the data catalog."""

from .names import need

databases = need("services.glue._databases", "the information schema")
tables = need("services.glue._tables", "tables that queries read")
create_table = need("services.glue._create_table", "CREATE TABLE AS", "data")

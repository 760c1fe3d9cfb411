"""Glue: the data catalog."""

from .names import need

tables = need("services.glue._tables", "tables that queries read")

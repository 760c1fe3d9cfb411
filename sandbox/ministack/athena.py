"""Athena: workgroups, named queries and query executions."""

from .names import Replaceable, need

workgroups = need("services.athena._workgroups", "settings that a workgroup enforces")
ensure_default_workgroup = need("services.athena._ensure_default_workgroup", "the workgroup primary", "")
named_queries = need("services.athena._named_queries", "named queries of templates")
delete_named_query = need("services.athena._delete_named_query", "named queries of templates", "data")
executions = need("services.athena._executions", "running queries")
duckdb_types = need("services.athena._DUCKDB_TYPE_MAP", "the types of results")
type_precision_scale = need("services.athena._type_precision_scale", "the types of results", "athena_type")
start_query_execution = Replaceable("services.athena._start_query_execution", "settings of workgroups", "data")
execute_query = Replaceable("services.athena._execute_query", "running queries", "query_id query database ddl catalog")
get_query_results = Replaceable("services.athena._get_query_results", "pages of results", "data")

"""CloudTrail: trails."""

from .names import need

create_trail = need("services.cloudtrail._create_trail", "trails of templates", "body")
update_trail = need("services.cloudtrail._update_trail", "trails of templates", "body")
delete_trail = need("services.cloudtrail._delete_trail", "trails of templates", "body")
put_event_selectors = need("services.cloudtrail._put_event_selectors", "trails of templates", "body")
start_logging = need("services.cloudtrail._start_logging", "trails of templates", "body")
stop_logging = need("services.cloudtrail._stop_logging", "trails of templates", "body")
visible_trails = need("services.cloudtrail._visible_trail_items", "whether a trail logs")

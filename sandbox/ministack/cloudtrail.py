"""CloudTrail: trails."""

from .names import need

operations = need("services.cloudtrail._DISPATCH", "trails of templates")
visible_trails = need("services.cloudtrail._visible_trail_items", "whether a trail logs")

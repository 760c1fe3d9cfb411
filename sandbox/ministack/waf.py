"""WAF: associations of web ACLs."""

from .names import need

associate_web_acl = need("services.waf._associate_web_acl", "associations of templates", "data")
disassociate_web_acl = need("services.waf._disassociate_web_acl", "associations of templates", "data")

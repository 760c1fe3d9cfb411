"""What is looked at for security beside cdk-nag, and what was answered.

`wildcards` lists every statement of a policy with a wildcard, and why it is there. `checkov` runs that
tool, whose findings `answers.toml` answers. `python -m audit` does both, and writes docs/security.md.
"""

"""The security review of the templates in addition to cdk-nag; ``python -m audit`` writes its results to docs/.

`wildcards` lists every policy statement with a wildcard and its reason, `deployment_policies` the permissions
that deploying a stack needs, and `checkov` the findings of Checkov, which `suppressions.toml` acknowledges.
"""

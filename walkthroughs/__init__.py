"""The walkthroughs of the systems, played through public AWS APIs.

The same walkthrough runs against the sandbox and against a real account, after `cdk deploy`:
``python -m walkthroughs security_group_revert``.
"""

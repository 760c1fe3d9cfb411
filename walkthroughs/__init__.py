"""End-to-end walkthroughs of the systems through public AWS APIs.

The same walkthrough runs in the sandbox and, after `cdk deploy`, in an AWS account:
``python -m walkthroughs security_group_revert``.
"""

"""Revert unapproved changes to guarded security groups, and send notifications."""

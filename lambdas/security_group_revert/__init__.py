"""Undo unapproved changes to guarded security groups, and tell someone."""

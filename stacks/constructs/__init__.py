"""Constructs and functions shared by several stacks."""

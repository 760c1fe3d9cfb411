"""Constructs and functions that several stacks share."""

"""Tests of `CostControl`."""

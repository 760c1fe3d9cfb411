"""Tests of `LambdaCanary`."""

"""Functions of `LambdaCanary`."""

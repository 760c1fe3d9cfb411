"""IAM: evaluation of policies."""

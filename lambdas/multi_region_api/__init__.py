"""Say hello from a region, and say whether the region is healthy."""

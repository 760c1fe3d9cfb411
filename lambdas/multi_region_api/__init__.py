"""Return the Region that handles a request, and whether it is healthy."""

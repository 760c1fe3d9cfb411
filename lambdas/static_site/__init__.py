"""Give every directory of a static site its index page."""

"""Serve an index page for every directory of a static site."""

"""Fetching public datasets over plain HTTPS."""

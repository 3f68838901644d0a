"""Owns the end-to-end environment: images, a real kind cluster, and everything that a recording needs in it."""

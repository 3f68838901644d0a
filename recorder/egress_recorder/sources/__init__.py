"""Owns where media comes from: one file per kind of source behind `sources.base.Source`."""

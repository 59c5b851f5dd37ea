"""Measurements of the product, each beside a bare reference of the same machine."""

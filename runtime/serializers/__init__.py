"""JSON in and out. One module a noun."""

"""JSON in and out. One module a noun; `strict.py` is what all request bodies share, also those of the apps above."""

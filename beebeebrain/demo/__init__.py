"""The whole way on a small project, offline: the real client works, a script answers in the provider's place.

`python -m beebeebrain.demo` (behind `make demo`). Nothing here imports Django: the demo is a user of the public API.
"""

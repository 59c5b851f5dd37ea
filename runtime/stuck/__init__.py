"""Stuck detection: what a run's log says about an agent that gets nowhere, and what is done about it.

`traces`, `fingerprints`, `idle`, `repeats`, `errors` and `detectors` are pure: a trace goes in, findings come out. `scanning` reads
the logs of running runs, `episodes` writes what follows from a finding, `delivery` carries nudges and answers over.
"""

"""A scripted stand-in for the Messages API, for tests and the offline demo. See README.md beside this file."""

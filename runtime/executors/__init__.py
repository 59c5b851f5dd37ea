"""Executors start runners: `local` on this host."""

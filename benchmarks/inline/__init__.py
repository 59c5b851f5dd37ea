"""Runs whose agents do nothing, without worktrees and processes."""

"""Every change of a run and of the task it works on. One module a stage of a run's life."""

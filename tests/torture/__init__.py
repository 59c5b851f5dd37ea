"""Six schedulers and a person on a random graph of tasks, while whatever can be killed, stopped or restarted is."""

"""The API over runs, and over projects, agents, tasks and comments, which need what this app knows: providers, runs, the planner."""

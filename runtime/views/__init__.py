"""The API over runs, and over projects, agents and tasks, which need what this app knows: providers, runs, the planner."""

"""The API over projects and dependencies. Agents and tasks need what stands above this app: see `runtime.views`."""

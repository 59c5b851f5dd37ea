"""Every change of a project, an agent, a task or its graph. One module a noun."""

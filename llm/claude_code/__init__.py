"""The adapter for Claude Code, on claude-agent-sdk and the client bundled with it. Facts about it are in docs."""

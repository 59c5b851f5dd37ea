"""The adapter for Claude Code, on claude-agent-sdk and the client bundled with it; both are pinned together."""

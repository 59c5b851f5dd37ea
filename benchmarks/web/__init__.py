"""What measuring over HTTP takes: rows in bulk, a server, a client that costs little, and bare views to stand beside."""

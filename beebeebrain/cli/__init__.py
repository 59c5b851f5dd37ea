"""The command line `bbb`: a client of the HTTP API. It imports no Django and nothing of the apps below."""

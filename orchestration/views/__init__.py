"""The API over dependencies, documents and comments. The rest needs what stands above this app: see `runtime.views`."""

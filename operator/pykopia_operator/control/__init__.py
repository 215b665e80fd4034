"""Effects: watches, the work queue, and carrying out plans against the API server."""

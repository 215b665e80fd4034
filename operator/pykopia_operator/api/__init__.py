"""Access to the API server: kinds, errors, the interface that reconcilers use, and its implementation."""

"""Contents, objects and manifests of an open repository."""

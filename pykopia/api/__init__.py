"""The public API: an open repository with its snapshots, policies and maintenance, and the functions that open one."""

"""Trunkline on a Kubernetes cluster. Knows nothing of jobs, versions and workers' work."""

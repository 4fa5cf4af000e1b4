"""The box as an appliance: its processes, health checks, provisioning, updates, backup and reset."""

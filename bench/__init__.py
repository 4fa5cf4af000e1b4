"""The measurements that the README quotes, one command each, with the peers in the same run.

Many modules: one a measurement, each a command of its own (`python -m bench.NAME`).
"""

"""From tensors to findings: pure functions that know neither runtimes nor files."""

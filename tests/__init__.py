"""Many modules: helpers that several kinds of tests share; a test file is in a folder below."""

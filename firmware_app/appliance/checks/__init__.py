"""How the box is: named checks, each answered with a sentence that says what to do.

Many modules: one for each group of checks.
"""

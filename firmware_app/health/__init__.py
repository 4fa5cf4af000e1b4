"""How the box is: named checks, each answered with a sentence that says what to do."""

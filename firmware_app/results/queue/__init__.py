"""Results on their way to the clinic's archives: which are due, which object stands where, what an archive has said."""

"""The live router: the same policies before real engines."""

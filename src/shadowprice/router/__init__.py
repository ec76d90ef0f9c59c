"""The live router: the policies of `routing` and `scheduling` before real engines."""

"""Which waiting request goes to which worker, and when."""

"""Every routing policy scored on the requests just served, in another process."""

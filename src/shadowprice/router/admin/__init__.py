"""The admin port: dashboard, metrics, and changes at run time."""

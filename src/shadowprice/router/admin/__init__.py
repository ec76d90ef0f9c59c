"""The admin port: dashboard, metrics, and changes at run time."""

from shadowprice.extras import needs

needs("router")

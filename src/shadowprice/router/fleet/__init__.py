"""The workers as the router knows them: whether they live, what they hold, how fast they are."""

from shadowprice.extras import needs

needs("router")

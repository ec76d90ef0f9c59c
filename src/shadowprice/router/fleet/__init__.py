"""The workers as the router knows them: whether they live, what they hold, how fast they are."""

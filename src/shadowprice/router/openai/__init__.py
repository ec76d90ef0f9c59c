"""What bodies of OpenAI-like interfaces mean: a prompt's size, tokens of a stream, usage."""

"""What a Hugging Face config.json says of a model: by its type, or refused."""

"""shadowprice: the decisions of an LLM serving fleet by mathematical optimization, with a certified gap."""

"""The live router: an OpenAI-compatible reverse proxy before vLLM or SGLang workers, with the policies of `routing/`.

`settings.py` is what can be set; `server.py` starts, drains and stops. A request's way: `client.py` reads it,
`dispatch.py` decides with a policy over the loads in `flight.py`, `exchange.py` carries it to a worker over
`upstream.py` and back. `health.py` and `scrape.py` watch the workers.
"""

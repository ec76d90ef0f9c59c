"""The live router: an OpenAI-compatible reverse proxy before vLLM or SGLang workers, with the policies of `routing/`.

`settings.py` is what can be set; `server.py` starts, drains and stops. A request's way: `client.py` and `incoming.py`
read it, `dispatch.py` decides with a policy over the loads in `flight.py`, `exchange.py` carries it to a worker over
`upstream.py` and back, `router.py` settles how it ended. `health.py`, `scrape.py` and `watch.py` look after the
workers and the clock. `record.py` keeps the live trace, `shadow.py` scores every policy on it; `admin.py` serves the
dashboard, the metrics and changes at run time, through `control.py`.
"""

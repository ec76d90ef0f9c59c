"""The live router: an OpenAI-compatible reverse proxy before vLLM or SGLang workers, with the policies of `routing/`.

`settings.py` is what can be set; `server.py` starts, drains and stops; `process.py` runs it until a signal ends it. A
request's way: `http/` reads it, `openai/` says what it means, `decide/` gives it to a worker of the `fleet/`,
`exchange.py` carries it there and back, `router.py` settles how it ended, `deadlines.py` minds the clock. `record/`
keeps what is over, `shadow/` scores every policy on it, `admin/` shows and changes all this at run time, and
`processes/` keeps several routers on one port together.
"""

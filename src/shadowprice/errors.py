"""Errors that a user can cause. Every message names the place, what was found and what is accepted."""


class ShadowpriceError(Exception):
    """Base of every error that bad input can raise; the command line turns it into exit code 2."""


class TraceError(ShadowpriceError):
    """A trace or log is unreadable: names file, line and field."""


class FleetError(ShadowpriceError):
    """A fleet file, model shape or GPU name is unusable."""


class PolicyError(ShadowpriceError):
    """A policy is unknown, has bad parameters, or returned an impossible decision."""


class InfeasibleError(ShadowpriceError):
    """No schedule exists: for example a request larger than the worker's KV memory."""


class ExpertError(ShadowpriceError):
    """Expert loads are unreadable, or a placement or dispatch of experts is impossible."""


class RouterError(ShadowpriceError):
    """A worker URL, router setting or admin request is unusable."""


class MissingExtraError(ShadowpriceError):
    """Something needs packages that come with an extra (`pip install 'shadowprice[router]'`); says the line."""

"""Packages that are verbs: `shadowprice.audit` holds the modules of the audit, and called it audits."""

import sys
from types import ModuleType
from typing import Any


class Verb(ModuleType):
    """A package whose call is that of its function of the same name.

    So one word serves both ways in, whatever was imported first: `shadowprice.audit(trace, fleet)` and
    `from shadowprice.audit import Audit`. For type checkers `shadowprice.audit` is the function.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function()(*args, **kwargs)

    @property
    def __wrapped__(self) -> Any:
        """What `inspect.signature` and its like should look at."""
        return self._function()

    def _function(self) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])


def make_verb(name: str) -> None:
    """Let the package of this name, which has a function of its last word, be called."""
    sys.modules[name].__class__ = Verb

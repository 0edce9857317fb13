"""What the running program says of its certificates."""

import time
from collections.abc import Callable

from onehop.compile.compiler import Compiler
from onehop.control.certificates.chain import ChainReader
from onehop.control.certificates.facts import CertificateFacts, gather_facts
from onehop.control.certificates.renewal import renew
from onehop.control.certificates.report import (
    CertificateList,
    CertificateSummary,
    HostStory,
    Leader,
    Renewal,
)
from onehop.control.certificates.table import make_list, make_reports, summarize
from onehop.control.certificates.why import Scene, tell
from onehop.control.issuing.port import Issuing
from onehop.control.served import Served
from onehop.control.writeback import WriteBack
from onehop.model.problem import Problem


class LiveCertificates:
    """The part of `control.overview.Overview` that is about certificates."""

    def __init__(
        self,
        *,
        compiler: Compiler,
        served: Served,
        write_back: WriteBack,
        issuing: Issuing,
        problems: Callable[[], tuple[Problem, ...]],
    ) -> None:
        self._compiler = compiler
        self._served = served
        self._write_back = write_back
        self._issuing = issuing
        self._problems = problems
        self._chains = ChainReader()

    def list(self) -> CertificateList:
        """Return how each is doing."""
        return make_list(self._facts())

    def summary(self) -> CertificateSummary:
        """Return the same in a line."""
        return summarize(make_reports(self._facts()))

    def why(self, host: str) -> HostStory:
        """Return how a host comes to its certificate, or why it does not."""
        scene = Scene(facts=self._facts(), compiler=self._compiler, served=self._served)
        return tell(scene, host)

    def renew(self, names: tuple[str, ...], *, spares_valid: bool) -> Renewal:
        """Get new ones now; see `control.certificates.renewal`."""
        return renew(self._facts(), names, begin=self._issuing.renew, spares_valid=spares_valid)

    def _facts(self) -> CertificateFacts:
        return gather_facts(
            compiler=self._compiler,
            served=self._served,
            leader=Leader(is_here=self._write_back.is_leader(), name=self._write_back.leader()),
            states=self._issuing.states(),
            demands=self._compiler.demands(),
            problems=self._problems(),
            chains=self._chains,
            now=time.time(),
        )

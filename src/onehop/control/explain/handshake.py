"""The TLS handshake: what a client sees that asks for a host, and what it has to show."""

from onehop.compile.compiler import Compiler
from onehop.compile.demand import DEMANDS
from onehop.compile.ingress import ANY_HOST
from onehop.control.certificates.chain import Chain, covers, read_chain
from onehop.control.certificates.shown import server_name_for
from onehop.control.certificates.words import day_text
from onehop.control.explain.explanation import TlsStep
from onehop.control.explain.facts import Facts
from onehop.control.unread import secret_of
from onehop.model.certificate import CertificateDemand
from onehop.model.ident import ObjectRef
from onehop.model.listener import ForwardHttp


def tls_step(facts: Facts, handler: ForwardHttp, hostname: str) -> TlsStep:
    """Return what clients meet that ask for a host by name."""
    clients = _client_certificate(handler, hostname)
    row = server_name_for(facts.served, hostname, handler.router)
    certificate = facts.served.certificates().get(row.certificate) if row is not None else None
    if row is None or certificate is None:
        says = f"no certificate for it: the handshake fails{_client_words(clients)}"
        return TlsStep(policy=handler.tls_policy, says=says, client_certificate=clients)
    secret, shown = secret_of(row.certificate), read_chain(certificate)
    demand, state = _demand(facts.compiler, secret), facts.states.get(secret)
    phase = state.phase if state is not None and demand is not None else None
    fits = hostname == ANY_HOST or covers(shown.names, hostname)
    is_over = facts.now is not None and not shown.is_valid_at(facts.now)
    made = f", ordered from {demand.issuer}" if demand is not None else ""
    made += f" ({phase})" if phase is not None else ""
    return TlsStep(
        policy=handler.tls_policy,
        secret=str(secret),
        fingerprint=shown.fingerprint,
        not_before=shown.not_before,
        not_after=shown.not_after,
        issued_by=shown.issued_by,
        is_accepted=fits and not is_over,
        issuer=demand.issuer if demand is not None else None,
        phase=phase,
        client_certificate=clients,
        says=f"{_shown_words(shown, fits=fits, is_over=is_over)}{made}{_client_words(clients)}",
    )


def _demand(compiler: Compiler, secret: ObjectRef) -> CertificateDemand | None:
    return compiler.reader().get(DEMANDS, secret)


def _client_certificate(handler: ForwardHttp, hostname: str) -> str:
    own = next((each for each in handler.client_checks if each.hostname == hostname), None)
    check = own or handler.clients
    if check is None:
        return "none"
    return "required" if check.is_required else "optional"


def _client_words(clients: str) -> str:
    if clients == "none":
        return ""
    return f"; clients {'must' if clients == 'required' else 'may'} show a certificate"


def _shown_words(shown: Chain, *, fits: bool, is_over: bool) -> str:
    until = f'issued by "{shown.issued_by}", until {day_text(shown.not_after)}'
    if is_over:
        return f"{until}: clients refuse it, its time is over or yet to come"
    return until if fits else f"{until}: clients refuse it, it is for {', '.join(shown.names)}"

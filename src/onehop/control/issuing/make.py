"""What a configuration with issuers means for certificates."""

import socket

from onehop.acme.preflight import Doors, Preflight
from onehop.compile.compiler import Compiler
from onehop.control.acmeconfig import answers_secret, public_addresses, read_issuers
from onehop.control.config import Config
from onehop.control.configfile import compile_options, state_directory
from onehop.control.issuing.answers import SharedAnswers
from onehop.control.issuing.confirmation import Alone, Confirmation
from onehop.control.issuing.doors import doors_for
from onehop.control.issuing.fleet import Fleet
from onehop.control.issuing.host import this_instance
from onehop.control.issuing.issuing import AcmeIssuing
from onehop.control.issuing.secrets import ApiSecrets, SecretStore
from onehop.control.issuing.shown import Shown
from onehop.control.issuing.vault import SecretVault
from onehop.control.pipeline import Pipeline
from onehop.control.sources import Origin
from onehop.control.writeback import WriteBack


def make_issuing(
    config: Config, origin: Origin, compiler: Compiler, write_back: WriteBack, pipeline: Pipeline
) -> AcmeIssuing:
    """Return who has certificates ordered, not yet running.

    Raises:
        ConfigError: an issuer's file cannot be read any more.
    """
    namespace = config.cluster.namespace
    answers = answers_secret(config.acme, namespace)
    assert answers is not None  # noqa: S101  there are issuers
    shown = Shown(pipeline.served, pipeline.challenges)
    store: SecretStore
    confirmation: Confirmation
    if origin.client is not None:
        store = ApiSecrets(origin.client, write_back.is_leader)
        confirmation = Fleet(
            origin.client,
            namespace,
            socket.gethostname(),
            shown.entries,
            instance=this_instance(state_directory(config)),
        )
    else:
        assert origin.secrets is not None  # noqa: S101  a folder, and there are issuers
        store = origin.secrets
        confirmation = Alone(shown.entries)
    responder = SharedAnswers(store, answers, namespace, confirmation)
    issuing = AcmeIssuing(
        read_issuers(config.acme, name="onehop.yaml"),
        vault=SecretVault(store, namespace, namespace),
        responder=responder,
        preflight=_preflight(config, compiler, responder),
        duties=(shown, confirmation),
        compiler=compiler,
        write_back=write_back,
    )
    pipeline.on_secret.append(issuing.seen)
    write_back.told_of.append(issuing.problems_of)
    return issuing


def _preflight(config: Config, compiler: Compiler, responder: SharedAnswers) -> Preflight | None:
    if not config.acme.preflight:
        return None
    shared = dict.fromkeys(compile_options(config).shared, config.ports.http)
    before_nat = public_addresses(config.acme, name="onehop.yaml")
    public = dict.fromkeys(before_nat, config.ports.http)

    def doors(host: str) -> Doors:
        return doors_for(compiler.reader(), host, shared=shared, public=public)

    return Preflight(doors, responder)

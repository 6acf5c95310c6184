"""A service and the signatures in its release → how it differs, as far as its operator left that.

An operator may take models out, follow a registry, or let only some callers in. None of that is
the fault of a release: what is set so is not asked, and what cannot be asked is trouble.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from treeline.agent.service import ServiceSettings
from treeline.agent.settings import AgentSettings
from treeline.contract.signature import Signature
from treeline.deployment.acceptance import Caller, complaints
from treeline.deployment.exchange import NO_ANSWER, exchange
from treeline.errors import AgentError, NotAdmittedError

REGISTRY = "registry"  # the origin of a model that no release holds


@dataclass(frozen=True)
class Examples:
    """Asks the examples of signatures, in the name that `agent.toml` gives."""

    settings: AgentSettings

    def faults(self, url: str, signatures: Sequence[Signature]) -> list[str]:
        """Return how a service differs from signatures.

        Raises AgentError where it does not let the agent ask.
        """
        caller = self._caller()
        try:
            return complaints(
                url, self._expected(url, signatures, caller), others=True, caller=caller
            )
        except NotAdmittedError as error:
            raise AgentError(f"{error}; nothing was refused") from error

    def _expected(
        self, url: str, signatures: Sequence[Signature], caller: Caller
    ) -> list[Signature]:
        """Return the signatures that the service should answer by, as it is set."""
        service = ServiceSettings.of(self.settings)
        ready = exchange("GET", f"{url}/readyz", secrets=caller.headers)
        absent = {*(ready.member("unloaded") or ()), *service.listed("API_LEAVE_OUT")}
        expected = [
            each
            for each in signatures
            if each.name not in absent
            and not (
                ready.member("models", each.name) not in (None, each.version)
                and _origin(url, each.name, caller) == REGISTRY
            )
        ]
        if not service.values.get("API_DEFAULT_MODEL"):
            return expected
        return [each.model_copy(update={"default": False}) for each in expected]

    def _caller(self) -> Caller:
        file = self.settings.key_file
        try:
            key = "" if file is None else file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"key_file: {file}: cannot be read: {error}") from error
        return Caller(key=key, host=self.settings.host_header)


def answers(url: str) -> bool:
    """Tell whether anything answers at an address, whatever it says."""
    return exchange("GET", f"{url}/readyz").status != NO_ANSWER


def _origin(url: str, name: str, caller: Caller) -> str:
    answer = exchange("GET", f"{url}/v1/models/{name}", secrets=caller.headers)
    return str(answer.member("origin"))

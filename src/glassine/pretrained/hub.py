"""Networks of diffusers and transformers from a hub id or a local folder, with one error text for each failure."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, PretrainedConfig

from glassine.utils.errors import UserError

PLACES = "a reachable hub id or a local folder"


@contextmanager
def hub_errors(what: str, source: str, places: str = PLACES) -> Iterator[None]:
    """Turn errors of the libraries into a UserError about `what` at `source`, suggesting `places`."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0][:200]
        raise UserError(f"no {what} at {source!r} ({reason}): give {places}") from error


def check_complete(
    report: Mapping[str, Any], source: str, allow_missing: Callable[[str], object] = lambda _: False
) -> None:
    """Raise UserError if a library's loading `report` has missing tensors, for which it would use random weights."""
    if missing := sorted(name for name in report["missing_keys"] if not allow_missing(name)):
        raise UserError(f"{source!r} lacks {len(missing)} of its tensors, {missing[0]} among them: fetch it again")


def load_transformers(
    kind: Any, config: type[PretrainedConfig], what: str, source: str, revision: str | None, example: str
) -> Any:
    """A transformers network in eval mode.

    Args:
        kind: class of the network.
        config: its configuration class, used to detect other kinds of networks.
        what: its name in error messages.
        source: a hub id, or the path of a local copy.
        revision: branch, tag or commit on the hub.
        example: an example hub id, for error messages.

    Raises:
        UserError: `source` does not exist, is another kind of network, or is incomplete.
    """
    revision = revision or "main"
    with hub_errors(what, source, f"a reachable hub id such as {example} or a local folder"):
        found = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False).model_type
        if found != config.model_type:
            raise UserError(f"{source!r} must hold a {config.model_type}, got a {found}")
        network, report = kind.from_pretrained(
            source, revision=revision, use_safetensors=True, output_loading_info=True
        )
    check_complete(report, source)
    return network.eval()

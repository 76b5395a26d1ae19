"""Estimate the GPU memory of a full-size training step without a GPU, by running it on tensors without data.

torch's fake tensors have shapes but no memory. A ledger counts the bytes of each storage from allocation until it is
freed, which gives the peak. CUDA's mixed precision is emulated on the CPU: normalizations and softmax run in float32,
and attention is fused. Optimizer states, averaged weights and DDP's buckets are added. Not counted are cuDNN's
workspaces, fragmentation, and the CUDA context (about half a GB).
"""

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from glassine.bench.full_size import FullSize, build_full_size
from glassine.bench.tables import markdown
from glassine.models.sam import Prompts
from glassine.tasks.matting_anything import MattingAnythingTask
from glassine.tasks.transparency import TransparencyTask
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

GIB = 2**30
# GPU by memory size -> GiB that are available to a process
GPUS = {"16 GB": 14.5, "24 GB": 22.0, "40 GB": 38.0, "48 GB": 44.5, "80 GB": 77.0, "141 GB": 136.0}
MARKERS = ("<!-- table:memory -->", "<!-- /table:memory -->")


class Ledger(TorchDispatchMode):
    """Context manager that counts the bytes of tensor storages as they are allocated and freed.

    Operations whose result depends on data (`any()`, `item()`) return False or 0.

    Attributes:
        now: bytes currently allocated.
        peak: maximum of `now`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count the storages of its results."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return False if args[0].dtype == torch.bool else 0
        if func is torch.ops.aten.bincount.default:  # its size depends on data; assume all values are below `minlength`
            return args[0].new_empty((kwargs or {}).get("minlength", args[-1]))
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.note(tensor)
        return result

    def note(self, tensor: Tensor) -> None:
        """Count the tensor's storage unless it is counted already."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.freed, key, size)

    def freed(self, key: int, size: int) -> None:
        """Subtract a storage that was freed."""
        self._known.discard(key)
        self.now -= size


class Fused(torch.autograd.Function):
    """Attention with the memory of a fused kernel: it saves inputs, output and one float per query, but no scores."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """An empty output of the right shape."""
        out = q.new_empty((*q.shape[:-1], v.shape[-1]))
        ctx.save_for_backward(q, k, v, out, q.new_empty(q.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        """Empty gradients of the right shapes."""
        return tuple(torch.empty_like(x) for x in ctx.saved_tensors[:3])


def fused_attention(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Tensor:
    """Replacement for torch's `scaled_dot_product_attention`, which would choose a CPU kernel."""
    if torch.is_autocast_enabled("cpu"):
        q, k, v = (x.to(torch.get_autocast_dtype("cpu")) for x in (q, k, v))
    return Fused.apply(q, k, v)


def in_float32(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap a function that autocast runs in float32 on CUDA but not on a CPU."""

    def run(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(x.float() if torch.is_autocast_enabled("cpu") else x, *args, **kwargs)

    return run


@contextmanager
def imitated_cuda() -> Iterator[None]:
    """A context in which functions use as much memory as in a training on a CUDA GPU."""
    with ExitStack() as stack:
        for name in ("group_norm", "layer_norm", "softmax", "instance_norm"):
            stack.enter_context(patch.object(F, name, in_float32(getattr(F, name))))
        stack.enter_context(patch.object(Tensor, "softmax", in_float32(Tensor.softmax)))
        stack.enter_context(patch.object(F, "scaled_dot_product_attention", fused_attention))
        yield


@dataclass(frozen=True)
class Estimate:
    """Memory of a training step on one GPU, in bytes.

    Attributes:
        experiment: its YAML.
        parameters: number of parameters of all networks, including frozen ones.
        trained: number of trained parameters.
        batch: clips per GPU, before gradient accumulation.
        step: peak of a step in bytes: weights, gradients, activations.
        beside: bytes of optimizer states, averaged weights and DDP's buckets.
        files: paths and hub ids that the training would read.
    """

    experiment: Path
    parameters: int
    trained: int
    batch: int
    step: int
    beside: int
    files: tuple[str, ...]

    @property
    def gib(self) -> float:
        """Total memory in GiB."""
        return (self.step + self.beside) / GIB

    @property
    def gpu(self) -> str:
        """The smallest of `GPUS` with enough memory, or `none`."""
        return next((name for name, room in GPUS.items() if self.gib <= room), "none")


def estimate(experiment: Path, batch: int | None = None) -> Estimate:
    """Estimate the memory of an experiment by running a full-size training step on tensors without data.

    Args:
        experiment: a YAML, or an overlay beside its base.
        batch: clips per GPU; None for the YAML's batch size.

    Raises:
        UserError: see `read_experiment`.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), Ledger() as ledger, imitated_cuda():
        with patch.object(nn.Module, "to", lambda module, *_, **__: module):  # fake weights cannot be moved
            built = build_full_size(experiment, ExitStack)
        built.task.train()
        gc.collect()
        ledger.peak = ledger.now
        count = batch or int(built.content["data"]["batch_size"])
        for loss in losses(built, count):
            loss.backward()
            del loss
        return Estimate(
            experiment, built.parameters, built.trained, count, ledger.peak, beside_step(built), built.files
        )


def losses(built: FullSize, count: int) -> Iterator[Tensor]:
    """The losses of a training step; call `backward` on each before the next is computed."""
    task: Any = built.task
    task.log = task.log_dict = lambda *_, **__: None
    precision = str(built.content["trainer"].get("precision", "32-true"))
    batch = fake_batch(built, count)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        if isinstance(task, TransparencyTask):  # two optimizers take turns
            named, real, fake = task.losses(batch)
            if task.discriminator is not None:
                named["adversarial"] = -task.discriminator(fake).mean()
            yield torch.stack(list(named.values())).sum()
            if task.discriminator is not None:
                yield task.discriminator.hinge_loss(real, fake)
        elif isinstance(task, MattingAnythingTask):  # its prompts depend on data
            pictures, truth = batch["clip"][:, 0], batch["alpha"][:, 0]
            prompts = [Prompts(boxes=torch.zeros(1, 4)) for _ in pictures]
            mattes = task.network(pictures, prompts)
            yield torch.stack(list(task.losses(mattes, truth, "all").values())).sum()
        else:
            yield task.training_step(batch, 0)


def fake_batch(built: FullSize, count: int) -> dict[str, Any]:
    """A batch of `count` random clips with the shapes of the experiment's training data."""
    arguments = built.content["data"]["train"]["init_args"]
    (height, width), frames = arguments["size"], arguments["num_frames"]
    batch: dict[str, Any] = {
        name: torch.rand(count, frames, channels, height, width)
        for name, channels in {"clip": 3, "foreground": 3, "alpha": 1}.items()
    }
    return {
        **batch,
        "background": torch.rand(count, 3),
        "fps": torch.full((count,), 8.0),
        "caption": ["a sticker"] * count,
        "trigger_words": [["sticker"]] * count,
        "key": ["sticker"] * count,
    }


def beside_step(built: FullSize) -> int:
    """Bytes of Adam's two states, of averaged weights, and of DDP's gradient buckets."""
    trainer = built.content["trainer"]
    trained = sum(p.numel() * p.element_size() for p in built.task.parameters() if p.requires_grad)
    everything = sum(p.numel() * p.element_size() for p in built.task.parameters())
    averaged = any("WeightAveraging" in callback["class_path"] for callback in trainer.get("callbacks", []))
    shared = "ddp" in str(trainer.get("strategy", ""))
    return (2 + shared) * trained + averaged * everything


def memory_table(estimates: Sequence[Estimate], root: Path) -> str:
    """The estimates as a Markdown table; paths of YAMLs are relative to `root`."""
    rows = [
        [
            f"`{one.experiment.relative_to(root)}`",
            f"{one.parameters / 1e6:,.1f}",
            f"{one.trained / 1e6:,.1f}",
            str(one.batch),
            f"{one.step / GIB:.1f}",
            f"{one.beside / GIB:.1f}",
            one.gpu,
            ", ".join(f"`{file}`" for file in one.files) or "nothing",
        ]
        for one in estimates
    ]
    head = ["YAML", "parameters, M", "trained, M", "batch a GPU", "step, GiB", "beside it, GiB", "GPU", "reads"]
    return markdown((head, rows))


def write_memory(experiments: Sequence[Path], readme: Path, tell: Callable[[Estimate], None]) -> None:
    """Estimate the experiments and write their rows into the table between the README's markers.

    Rows of other experiments are kept, unless their YAML no longer exists.

    Args:
        experiments: YAMLs below the README's folder.
        readme: file with the markers.
        tell: called with each estimate.

    Raises:
        UserError: the README or its markers are missing, or a YAML is in another folder.
    """
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if any(text.count(marker) != 1 for marker in MARKERS):
        raise UserError(
            f"{readme} must have {MARKERS[0]} and {MARKERS[1]} once each: the table is written between them"
        )
    if elsewhere := [file for file in experiments if not file.is_relative_to(readme.parent)]:
        raise UserError(f"experiments must be below {readme.parent}, got {elsewhere[0]}")
    estimates = []
    for file in experiments:
        estimates.append(estimate(file))
        tell(estimates[-1])
    before, rest = text.split(MARKERS[0])
    old, after = rest.split(MARKERS[1])
    head, line, *new = memory_table(estimates, readme.parent).splitlines()
    rows = {row.split("|")[1].strip(" `"): row for row in old.strip().splitlines()[2:]}
    rows = {name: row for name, row in rows.items() if (readme.parent / name).is_file()}
    rows |= {row.split("|")[1].strip(" `"): row for row in new}
    table = "\n".join([head, line, *(rows[name] for name in sorted(rows))])
    with atomic_path(readme) as path:
        path.write_text(f"{before}{MARKERS[0]}\n{table}\n{MARKERS[1]}{after}", encoding="utf-8")

"""Easy clips first: a weight for every clip by how hard it is and how far training has come."""

import torch
from torch import Tensor, nn

BINS = 16


class Curriculum(nn.Module):
    """Difficulty-adaptive curriculum: weights from the entropy of what a clip leaves to be learned.

    RDTF (arXiv 2503.17735) says in its abstract that it splits the entropy of a sample into a static and an adaptive
    part, to go from easy to difficult; its formulas could not be read, so these are ours. Static: entropy of the
    changes between frames times the share of frames that are not given. Adaptive: the running loss of clips of that
    static entropy, as the network does on them now. Difficulty is the mean of both, each as a rank in [0, 1] among the
    `BINS` of static entropy; what is harder than the network's competence, which grows linearly to 1, counts little.

    Args:
        steps: training steps until everything counts alike.
        start: competence of the first step, in [0, 1].
        softness: how gently the weight falls beyond the competence.
        momentum: of the running losses.
    """

    entropies: Tensor
    losses: Tensor
    step: Tensor

    def __init__(self, steps: int, start: float = 0.3, softness: float = 0.1, momentum: float = 0.99) -> None:
        super().__init__()
        if steps < 1 or not 0 <= start <= 1 or softness <= 0:
            raise ValueError(
                f"{steps} steps, start {start}, softness {softness} came; give at least 1, 0 to 1, above 0"
            )
        self.steps, self.start, self.softness, self.momentum = steps, start, softness, momentum
        # part of the checkpoint, so that a resumed run weighs as an unbroken one
        self.register_buffer("entropies", torch.linspace(0, 1, BINS))  # running upper bounds of the bins
        self.register_buffer("losses", torch.zeros(BINS))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, latents: Tensor, given: Tensor, losses: Tensor) -> Tensor:
        """Weights `b`, of mean 1.

        Args:
            latents: clean clips `b f c h w`.
            given: `b f` bool, frames that are shown to the network.
            losses: `b`, of this step, not yet weighted.
        """
        entropy = change_entropy(latents) * (~given).float().mean(dim=1)  # b
        self._learn(entropy, losses)
        bins = torch.bucketize(entropy, self.entropies).clamp(max=BINS - 1)  # b
        static = bins / (BINS - 1)
        adaptive = self.losses.argsort().argsort()[bins] / (BINS - 1)
        competence = self.start + (1 - self.start) * (self.step / self.steps).clamp(max=1)
        weights = ((competence - (static + adaptive) / 2) / self.softness).sigmoid()
        weights = torch.where(self.step > self.steps, torch.ones_like(weights), weights)
        return weights / weights.mean().clamp(min=1e-8)

    def _learn(self, entropy: Tensor, losses: Tensor) -> None:
        if self.training:
            self.step += 1
        quantiles = torch.quantile(entropy.float(), torch.linspace(0, 1, BINS, device=entropy.device))
        self.entropies.lerp_(quantiles, 1 - self.momentum)
        bins = torch.bucketize(entropy, self.entropies).clamp(max=BINS - 1)
        for number, loss in zip(bins.tolist(), losses.detach(), strict=True):
            self.losses[number].lerp_(loss.float(), 1 - self.momentum)


def change_entropy(latents: Tensor, levels: int = 32) -> Tensor:
    """Entropy, in [0, 1], of the changes from frame to frame of `b f c h w`, in `levels` steps of a standard deviation.

    A clip that stands still has 0.
    """
    changes = (latents[:, 1:] - latents[:, :-1]).flatten(1)  # b n
    scale = latents.flatten(1).std(dim=1, keepdim=True).clamp(min=1e-8)
    places = changes / scale * (levels / 8) + levels / 2  # four deviations each way
    symbols = places.round().clamp(0, levels - 1).long()
    shares = torch.zeros(len(symbols), levels, device=latents.device).scatter_add_(
        1, symbols, torch.full_like(changes, 1 / max(1, changes.shape[1]), dtype=torch.float32)
    )  # b l
    return torch.special.entr(shares).sum(dim=1) / torch.log(torch.tensor(float(levels)))

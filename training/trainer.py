"""The trainer: one step of the generator, one of the discriminators, checkpoints that resume."""

from __future__ import annotations

import copy
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.styles import find_pack
from streamfx.training import losses
from streamfx.training.base import start_from
from streamfx.training.batches import Batch, make_batch
from streamfx.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from streamfx.training.color import grey_like, luma, planes_to_rgb, weigh_chroma
from streamfx.training.discriminators import MultiScaleDiscriminator, TemporalDiscriminator
from streamfx.training.faceterms import content_of_faces, edges_of_faces
from streamfx.training.goals import goals_of_styles
from streamfx.training.library import Library
from streamfx.training.losses import interior
from streamfx.training.motion import flow_between, warp
from streamfx.training.networks import WIDTHS, Generator, Networks, StyleEncoder
from streamfx.training.parallel import Processes
from streamfx.training.perceptual import CONTENT, ContentNetwork
from streamfx.training.recipes import Recipe
from streamfx.training.views import style_of_views

BORDER = 16
R1_EVERY = 16
# Terms that grow in after the warm-up. Steadiness is one: asked for from the start, it silences
# the trunk, whose first marks are unsteady, and a tint is all that is ever learnt.
LATE = {
    "adversarial", "temporal_adversarial", "content", "style", "shift", "warp", "long_term",
    "face_content", "face_edges",
}  # fmt: skip


@dataclass(frozen=True)
class _Shown:
    """RGB pictures, borders cut off, and the detached codes of their styles.

    Attributes:
        pure: [B], which of the clips these are: those that are no blends, one at least.
        fake, target, real: [P,3,H,W], of the P pure clips.
        style: [P,S].
        share: what the mean over them counts in the mean over processes; 1 where each has as many.
        fake_triple, real_triple: [B,15,H,W], see `TemporalDiscriminator`.
        triple_style: [B,S].
    """

    pure: Tensor
    fake: Tensor
    target: Tensor
    real: Tensor
    style: Tensor
    share: Tensor
    fake_triple: Tensor
    real_triple: Tensor
    triple_style: Tensor


class Trainer:
    """Trains the networks of a recipe on a library of pictures.

    Raises:
        InputError: the recipe's batches cannot be shared among so many processes.
    """

    def __init__(
        self, recipe: Recipe, library: Library, processes: Processes | None = None
    ) -> None:
        self.processes = Processes() if processes is None else processes
        self.processes.check(recipe)
        device = self.processes.device
        torch.manual_seed(recipe.seed)
        self.recipe, self.library = recipe, library
        config = WIDTHS[recipe.width]
        # Random codes are far apart, so that styles part early; read from pictures alone, they
        # start as good as equal.
        codes = nn.Embedding(library.catalogue, config.style_size)
        self.networks = Networks(Generator(config), StyleEncoder(config.style_size), codes)
        if recipe.base is not None:
            catalogue = [style.paintings for style in library.styles[: library.catalogue]]
            start_from(find_pack(recipe.base), self.networks, catalogue)
        for module in (self.networks.generator, self.networks.encoder):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for network in self.networks.modules():
            network.to(device)
        self.average = copy.deepcopy(self.networks)
        self.discriminator = MultiScaleDiscriminator(config.style_size).to(device)
        self.temporal = TemporalDiscriminator(config.style_size).to(device)
        optimizer = recipe.optimizer
        self.generator_optimizer = torch.optim.Adam(
            self.networks.parameters(), optimizer.learning_rate, betas=(0.9, 0.99)
        )
        self.discriminator_optimizer = torch.optim.Adam(
            [*self.discriminator.parameters(), *self.temporal.parameters()],
            optimizer.discriminator_learning_rate,
            betas=(0.0, 0.99),
        )
        self.features = ContentNetwork().to(device)
        paintings = [style.paintings for style in library.styles]
        self.goals = goals_of_styles(self.features, paintings)
        self.progress = Progress()
        # One batch is made ahead; which thread makes it changes nothing that is in it.
        self._maker = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[Batch]] | None = None

    def step(self, share: float | None = None) -> dict[str, float]:
        """One iteration; returns the value of every term.

        Args:
            share: how much of the run is done, 0..1, for the learning rate; by default the
                share of the recipe's iterations.
        """
        optimizer = self.recipe.optimizer
        iteration = self.progress.iteration
        done = iteration / optimizer.iterations if share is None else share
        decay = 0.1 + 0.45 * (1 + cos(pi * min(done, 1.0)))
        for group in self.generator_optimizer.param_groups:
            group["lr"] = optimizer.learning_rate * decay
        for group in self.discriminator_optimizer.param_groups:
            group["lr"] = optimizer.discriminator_learning_rate * decay
        ramp = (iteration - optimizer.warm_up) / optimizer.ramp
        batch = self.processes.share(self._take_batch(iteration))
        values = self._update(batch, min(max(ramp, 0.0), 1.0))
        self._update_average()
        self.progress.iteration += 1
        self.progress.losses = values
        return values

    def _take_batch(self, iteration: int) -> Batch:
        """Batch number `iteration`, and the next one begun."""
        ahead = self._ahead
        following = self._maker.submit(make_batch, self.library, self.recipe, iteration + 1)
        self._ahead = (iteration + 1, following)
        if ahead is not None and ahead[0] == iteration:
            return ahead[1].result()
        return make_batch(self.library, self.recipe, iteration)

    def _update(self, batch: Batch, ramp: float) -> dict[str, float]:
        weights = self.recipe.losses
        with self._autocast():
            codes, encoder_distance = self._codes(batch)
            out, flat = self._run(batch, codes)
        terms = self._supervised(batch, out, flat) | {"encoder": encoder_distance}
        if ramp and batch.views is not None:
            # Every other time without colours, which else would be all that is learnt.
            in_grey = bool(self.progress.iteration // 2 % 2)
            with self._autocast():
                terms["style"] = style_of_views(
                    batch.views, self.networks, self.goals, self.features, BORDER, in_grey
                )
        shown = None
        if ramp and batch.motion is not None:
            shown = self._show(batch, out, codes)
            terms["content"] = self._content(batch, shown)
            terms |= self._adversarial(shown)
            if batch.faces is not None:
                with self._autocast():
                    faces = content_of_faces(batch, out, BORDER, self.features)
                terms["face_content"] = faces
        total = torch.stack(
            [
                getattr(weights, name) * (ramp if name in LATE else 1.0) * value
                for name, value in terms.items()
            ]
        ).sum()
        self.generator_optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(self.networks.parameters())
        nn.utils.clip_grad_norm_(self.networks.parameters(), 2.0)
        self.generator_optimizer.step()
        values = {name: value.item() for name, value in terms.items()}
        values["total"] = total.item()
        if shown is not None:
            values |= self._update_discriminators(shown)
        return self.processes.means(values)

    def _show(self, batch: Batch, out: Tensor, codes: Tensor) -> _Shown:
        """What the content network and the discriminators see; blends have no painting."""
        pure = batch.mix[:, 0] == 0
        count = pure.sum().float()
        share = count / self.processes.mean(count).clamp(min=1 / self.processes.count)
        if not count:
            # Every process takes the same steps: a blend stands in, and counts nothing.
            pure = torch.arange(len(pure), device=pure.device) == 0
        middle = out.shape[1] // 2
        fake = interior(planes_to_rgb(out[pure, middle]), BORDER)
        target = interior(planes_to_rgb(batch.targets[pure, middle]), BORDER)
        # Half of the real patches are the painting's, half are what the teacher made of it.
        even = torch.arange(len(pure), device=pure.device)[pure] % 2 == 0
        real = interior(batch.patches[pure], BORDER)
        real = torch.where(even[:, None, None, None], target, real)
        return _Shown(
            pure, fake, target, real, codes[pure].detach(), share,
            self._triples(batch, out), self._triples(batch, batch.targets), codes.detach(),
        )  # fmt: skip

    def _adversarial(self, shown: _Shown) -> dict[str, Tensor]:
        self._freeze_discriminators(True)
        with self._autocast():
            logits = self.discriminator(shown.fake, shown.style)
            together = self.temporal(shown.fake_triple, shown.triple_style)
        self._freeze_discriminators(False)
        return {
            "adversarial": shown.share * losses.generator_adversarial(logits),
            "temporal_adversarial": losses.generator_adversarial(together),
        }

    def _codes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Style codes [B,S], and how far the encoder is from those of the catalogue."""
        read = self.networks.encoder(batch.pictures).float()
        first, second = (self.networks.code(styles, read) for styles in batch.styles.unbind(1))
        listed = batch.styles[:, 0] < self.library.catalogue
        error = (read - first.detach()).square().mean(1)
        mean, one = self.processes.mean, 1 / self.processes.count
        distance = (error * listed).sum() / mean(listed.sum().float()).clamp(min=one)
        return torch.lerp(first, second, batch.mix), distance

    def _run(self, batch: Batch, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B,frames,6,h,w] of the clips, and [F,6,h,w] of the flat pictures."""
        generator = self.networks.generator
        clips, frames = batch.inputs.shape[:2]
        strength = codes.new_ones(clips * frames, 1)
        planes = batch.inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        code, sharpen = (each.repeat_interleave(frames, 0) for each in (codes, batch.sharpen))
        out = generator(planes, code, strength, sharpen)
        # One for every other clip, so that a share of the batch has its share of them.
        flats = batch.flat
        code, full = codes[::2][: len(flats)], strength[::2][: len(flats)]
        flat = generator(flats, code, full, batch.flat_sharpen)
        return losses.shown(out.unflatten(0, (clips, frames)).float()), flat.float()

    def _supervised(self, batch: Batch, out: Tensor, flat: Tensor) -> dict[str, Tensor]:
        """Terms that need no other network."""
        found = weigh_chroma(interior(out.flatten(0, 1), BORDER // 2))
        wanted = weigh_chroma(interior(batch.targets.flatten(0, 1), BORDER // 2))
        sharp, sharp_wanted = luma(found), luma(wanted)
        terms = {
            "teacher_mse": losses.teacher_mse(found, wanted),
            "teacher_l1": losses.teacher_l1(found, wanted),
            "teacher_gradient": losses.teacher_gradient(sharp, sharp_wanted),
            "teacher_texture": losses.teacher_texture(sharp, sharp_wanted),
            "flat": losses.flatness(interior(luma(flat), 24), 16)
            + losses.flatness(interior(flat[:, 4:], 12), 8),
        }
        if batch.shifts is not None:
            terms["shift"] = self._shift_error(out, batch.shifts)
        if batch.faces is not None:
            terms["face_edges"] = edges_of_faces(batch, out, BORDER)
        if batch.motion is None:
            return terms
        rgb = planes_to_rgb(out.flatten(0, 1))
        rgb = rgb.reshape(*out.shape[:2], *rgb.shape[1:])
        last = out.shape[1] - 1
        near = [self._warp_error(batch, rgb, t, t - 1) for t in range(1, last + 1)]
        mean = self.processes.mean
        kept = mean(losses.contrast(rgb))
        free = self.recipe.tolerance.warp
        terms["warp"] = losses.beyond(mean(torch.stack(near).mean()) / kept, free)
        far = mean(self._warp_error(batch, rgb, last, 0))
        terms["long_term"] = losses.beyond(far / kept, free)
        return terms

    def _shift_error(self, out: Tensor, shifts: NDArray[np.int64]) -> Tensor:
        rgb = planes_to_rgb(out[:, 0])
        here, there = rgb.chunk(2)
        # The network looks far, and the two windows have different surroundings.
        border = rgb.shape[-1] // 4
        errors = [
            losses.equivariance(a, b, int(rows), int(columns), border)
            for a, b, (rows, columns) in zip(here, there, shifts, strict=True)
        ]
        mean = self.processes.mean
        error = mean(torch.stack(errors).mean())
        beyond = losses.beyond(error, self.recipe.tolerance.shift / 255)
        return beyond / mean(losses.contrast(rgb))

    def _warp_error(self, batch: Batch, rgb: Tensor, later: int, earlier: int) -> Tensor:
        flow, visible = self._flow(batch, later, earlier)
        moved = warp(rgb[:, earlier], flow)
        return losses.warping(
            interior(rgb[:, later], BORDER), interior(moved, BORDER), interior(visible, BORDER)
        )

    @staticmethod
    def _flow(batch: Batch, later: int, earlier: int) -> tuple[Tensor, Tensor]:
        """Exact flow between two frames; see `flow_between`."""
        assert batch.motion is not None and batch.coverage is not None
        return flow_between(batch.motion, batch.coverage, later, earlier)

    def _content(self, batch: Batch, shown: _Shown) -> Tensor:
        with self._autocast():
            fake, target = shown.fake, shown.target
            if self.progress.iteration // 2 % 2:
                patches = batch.patches[shown.pure]
                fake, target = (grey_like(each, patches) for each in (fake, target))
            found = self.features(fake)
            with torch.no_grad():
                wanted = self.features(target)
            return shown.share * losses.content(found[CONTENT], wanted[CONTENT])

    def _triples(self, batch: Batch, planes: Tensor) -> Tensor:
        """Middle three frames and the outer two moved onto the middle one: [B,15,s,s]."""
        middle = planes.shape[1] // 2
        rgb = planes_to_rgb(planes[:, middle - 1 : middle + 2].flatten(0, 1))
        before, centre, after = rgb.reshape(len(planes), 3, *rgb.shape[1:]).unbind(1)
        moved = []
        for neighbour, step in ((before, -1), (after, 1)):
            flow, visible = self._flow(batch, middle, middle + step)
            moved.append(torch.lerp(centre, warp(neighbour, flow), visible))
        return interior(torch.cat([before, centre, after, *moved], dim=1), BORDER)

    def _update_discriminators(self, shown: _Shown) -> dict[str, float]:
        fake, real, style = shown.fake.detach(), shown.real, shown.style
        with self._autocast():
            # Blurred real patches are fakes too: soft paint is not paint (CartoonGAN, 2018).
            soft = F.interpolate(F.avg_pool2d(real, 4), scale_factor=4.0, mode="bilinear")
            judged = self.discriminator(
                torch.cat([real, fake, soft]), torch.cat([style, style, style])
            )
            real_logits, fake_logits, soft_logits = judged.chunk(3)
            loss = losses.discriminator_adversarial(real_logits, fake_logits)
            loss = loss + 0.2 * F.softplus(soft_logits.float()).mean()
            together = self.temporal(
                torch.cat([shown.real_triple, shown.fake_triple.detach()]),
                torch.cat([shown.triple_style, shown.triple_style]),
            )
            temporal = losses.discriminator_adversarial(*together.chunk(2))
        loss = shown.share * loss
        total = loss + temporal
        if self.progress.iteration % R1_EVERY == 0:
            inputs = real.clone().requires_grad_(True)
            penalty = losses.gradient_penalty(self.discriminator(inputs, style).mean(1), inputs)
            total = total + shown.share * self.recipe.losses.r1 * R1_EVERY / 2 * penalty
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(
            [*self.discriminator.parameters(), *self.temporal.parameters()]
        )
        self.discriminator_optimizer.step()
        return {"discriminator": loss.item(), "temporal_discriminator": temporal.item()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.processes.device.type, torch.bfloat16)

    def _freeze_discriminators(self, frozen: bool) -> None:
        self.discriminator.requires_grad_(not frozen)
        self.temporal.requires_grad_(not frozen)

    @torch.no_grad()
    def _update_average(self) -> None:
        # A short run must not remember its first weights: the decay grows from nothing.
        iteration = self.progress.iteration
        decay = min(self.recipe.optimizer.ema, (1 + iteration) / (10 + iteration))
        for average, current in zip(
            self.average.parameters(), self.networks.parameters(), strict=True
        ):
            average.lerp_(current, 1 - decay)

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.networks.generator,
            "encoder": self.networks.encoder,
            "codes": self.networks.codes,
            "average_generator": self.average.generator,
            "average_encoder": self.average.encoder,
            "average_codes": self.average.codes,
            "discriminator": self.discriminator,
            "temporal": self.temporal,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        recipe = self.recipe.model_dump(mode="json")
        save_checkpoint(path, self._parts(), self.progress, recipe)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            InputError: not a checkpoint of this recipe's networks.
        """
        self.progress = load_checkpoint(path, self._parts(), self.processes.device)

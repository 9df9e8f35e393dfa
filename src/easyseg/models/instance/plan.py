"""What a detector is built with, beside names and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from easyseg.errors import CheckpointError, ConfigError
from easyseg.models.instance.anchors import COCO_ANCHORS, Anchors
from easyseg.models.instance.heads import DetectionLimits
from easyseg.models.instance.pyramid import Norm

Structure: TypeAlias = Literal["standard", "coco_v1", "coco_v2"]
Held: TypeAlias = Literal["none", "encoder", "all"]


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """What a detector is built with; the finished model's `plan` has nothing left open and builds the same again.

    Attributes:
        anchors: the shapes of anchors.
        limits: what becomes of the boxes found.
        structure: "standard" normalises the levels of the pyramid by groups; "coco_v1" and "coco_v2" are torchvision's
            first and second detector, with no normalisation and with batch normalisation, the second with deeper heads
            that cost about 2.5 times the work. None: that of the weights.
        held: whose batch normalisation keeps its statistics in training: that of no module, the encoder's, or all.
            None: that of the pretrained modules. Detectors train on one or two images at a time, of which statistics
            say little: the running ones would drift away from what the weights were trained with, and predictions,
            which use them, would be of another network than the one trained. Without pretrained weights there are no
            statistics worth holding, and they follow the batches.

    Raises:
        ConfigError: there is no such structure, or nothing of that name to hold.
    """

    anchors: Anchors = COCO_ANCHORS
    limits: DetectionLimits = field(default_factory=DetectionLimits)
    structure: Structure | None = None
    held: Held | None = None

    def __post_init__(self) -> None:
        for name, found, known in (
            ("structure", self.structure, get_args(Structure)),
            ("held", self.held, get_args(Held)),
        ):
            if found is not None and found not in known:
                raise ConfigError(f"{name}={found!r} of a detector is unknown; give {', '.join(map(repr, known))}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a file's header."""
        return {
            "anchors": [[list(shape) for shape in level] for level in self.anchors.shapes],
            "limits": asdict(self.limits),
            "structure": self.structure,
            "held": self.held,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DetectorPlan:
        """Read what `to_dict` wrote.

        Raises:
            CheckpointError: something is missing, or no detector can be built with it; the message shows what is there.
        """
        try:
            levels, limits = values["anchors"], values["limits"]
            return cls(
                Anchors(tuple(tuple((float(width), float(height)) for width, height in level) for level in levels)),
                DetectionLimits(float(limits["score_threshold"]), float(limits["nms_iou"]), int(limits["per_image"])),
                values["structure"],
                values["held"],
            )
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise CheckpointError(
                f"What the file says of its detector cannot be read ({type(error).__name__}: {error}): {values!r}. "
                "Expected are anchors, limits, structure and held, as easyseg writes them; save the model again."
            ) from error


@dataclass(frozen=True, slots=True)
class StructureDetails:
    """What a structure means.

    Attributes:
        pyramid_norm: normalisation in the feature pyramid.
        head_norm: normalisation in the heads' convolutions.
        proposal_depth: convolutions of the region proposal network before its last ones.
        has_deep_box_head: whether boxes go through four convolutions.
        batch_norm_epsilon: what the encoder's batch normalisation adds to a variance; None leaves it.
    """

    pyramid_norm: Norm | None = "group"
    head_norm: Norm | None = None
    proposal_depth: int = 1
    has_deep_box_head: bool = False
    batch_norm_epsilon: float | None = None


STRUCTURES: dict[Structure, StructureDetails] = {
    "standard": StructureDetails(),
    # its weights were trained without any; torch insists on something above 0
    "coco_v1": StructureDetails(pyramid_norm=None, batch_norm_epsilon=1e-12),
    "coco_v2": StructureDetails("batch", "batch", proposal_depth=2, has_deep_box_head=True),
}

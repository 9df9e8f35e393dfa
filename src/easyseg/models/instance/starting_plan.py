"""What the detector was built with that weights come from, as one that starts from them has to be built alike."""

from __future__ import annotations

from pathlib import Path

from easyseg.errors import CheckpointError, WeightsError
from easyseg.io.checkpoints import read_header
from easyseg.models.instance.coco import STRUCTURE_OF
from easyseg.models.instance.plan import DetectorPlan
from easyseg.models.weights import check_file, is_file


def plan_of_weights(weights: str | Path | None) -> DetectorPlan | None:
    """Return the plan of the whole detector that weights are of; None where they are of less, or nobody wrote it down.

    Args:
        weights: as for `build_instance`; of a file, the header is read.

    Raises:
        WeightsError: there is no such file, or it cannot be read.
        CheckpointError: the file's plan makes no detector.
    """
    if weights is None:
        return None
    if not is_file(weights):
        name = str(weights)
        return DetectorPlan(structure=STRUCTURE_OF[name], held="all") if name in STRUCTURE_OF else None
    path = check_file(weights)
    try:
        header = read_header(path)
    except CheckpointError as error:
        raise WeightsError(str(error)) from error
    return DetectorPlan.from_dict(header["plan"]) if header is not None and "plan" in header else None

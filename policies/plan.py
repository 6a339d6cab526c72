"""The numbers of a repair: when it ends and what a look costs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RepairPlan(BaseModel):
    """When a repair ends and what a look costs.

    Attributes:
        frame_nm: side of the square frames that are looked at.
        confirm_spots: fresh spots, at least, on which a tip is looked at before it is called good.
        most_spots: fresh spots after which a tip that is still in doubt is acted on.
        doubt_quality: combined quality below which a tip is acted on at once.
        confirm_quality: combined quality from which a tip is good.
        search_looks: looks in a row without a spot to act on after which it gives up.
        max_actions: actions after which the repair gives up.
        max_hours: instrument hours after which it gives up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frame_nm: float = Field(24.0, gt=0, le=10_000)
    confirm_spots: int = Field(5, ge=1, le=100)
    most_spots: int = Field(8, ge=1, le=100)
    doubt_quality: float = Field(0.3, gt=0, lt=1)
    confirm_quality: float = Field(0.7, gt=0, lt=1)
    search_looks: int = Field(12, ge=1, le=1000)
    max_actions: int = Field(300, ge=0, le=10_000)
    max_hours: float = Field(6.0, gt=0, le=1_000)

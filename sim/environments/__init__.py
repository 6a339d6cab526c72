"""Gymnasium environments: conditioning one tip, or many at once.

Importing this package makes ``tipsmith/TipConditioning-v0`` known to gymnasium, which looks for
environments nowhere by itself: ``gymnasium.make("sim.environments:tipsmith/TipConditioning-v0")``
does both. The simulator is loaded when the first environment is made.
"""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

ENVIRONMENT = "tipsmith/TipConditioning-v0"

if ENVIRONMENT not in registry:
    register(
        id=ENVIRONMENT,
        entry_point="sim.environments.tip_conditioning:TipConditioning",
        vector_entry_point="sim.environments.vector:VectorTipConditioning",
    )

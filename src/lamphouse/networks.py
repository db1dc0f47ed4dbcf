"""torchvision's pretrained weights."""

from torch import Tensor, hub
from torchvision.models import get_model_weights


def pretrained(depth: int, weights: str) -> dict[str, Tensor]:
    """Load torchvision's weights, from its cache or by a download.

    Raises:
        ValueError: there are none of that name, or they cannot be downloaded.
    """
    known = get_model_weights(f"resnet{depth}")
    if weights not in known.__members__:
        raise ValueError(f"weights {weights!r}: no such weights; there are {', '.join(known.__members__)}")
    try:
        state: dict[str, Tensor] = known[weights].get_state_dict(check_hash=True)
    except (OSError, RuntimeError) as error:
        folder = f"{hub.get_dir()}/checkpoints"
        raise ValueError(
            f"weights {weights!r} cannot be downloaded ({error}): put {known[weights].url} into {folder}"
        ) from error
    return state

"""Print what the models find. With a larger size, only with all guards: it takes long."""

import argparse

from tests.model import MODELS
from tests.model.engine import explore

MOST_STATES = 10_000_000  # 400 to 4,000 bytes each


def main() -> None:
    """Explore all models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, help="of every model, see its class")
    size = parser.parse_args().size
    for model in MODELS:
        print(f"{model.__name__}: {explore(model(size=size), MOST_STATES)}", flush=True)
    if size:
        return
    for model in MODELS:
        for guard, smallest in model.necessary.items():
            print(f"\n{model.__name__} without {guard.name}: {guard.value}")
            print(explore(model(guard, size=smallest), MOST_STATES), flush=True)


if __name__ == "__main__":
    main()

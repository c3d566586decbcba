"""From pictures to a style pack: data, networks, losses, trainer, evaluation, export."""

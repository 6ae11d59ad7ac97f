"""`tinyconv zoo`: the reference networks."""


def zoo() -> None:
    """List the reference networks, with what their lessons trained them on."""
    from tinyconv import zoo as networks
    from tinyconv.cli.terminal import console, table

    rows = []
    for entry in map(networks.entry, networks.names()):
        height, width, channels = entry.input_shape
        parameters = networks.build(entry.name, backend="numpy").count_params()
        images, data = f"{height}×{width}×{channels}", entry.dataset or "image folder"
        rows.append((entry.name, f"{parameters:,}", images, data, entry.description))
    console().print(table(("name", "parameters", "images", "data", ""), rows, right=("parameters",)))

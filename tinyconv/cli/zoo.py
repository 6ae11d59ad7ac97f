"""`tinyconv zoo`: the reference networks."""


def zoo() -> None:
    """List the reference networks, with what their lessons trained them on."""
    from tinyconv import zoo as networks
    from tinyconv.cli.terminal import console, table

    rows = []
    for entry in map(networks.entry, networks.names()):
        parameters = networks.build(entry.name, backend="numpy").count_params()
        rows.append((entry.name, f"{parameters:,}", entry.dataset or "image folder", entry.description))
    console().print(table(("name", "parameters", "data", ""), rows, right=("parameters",)))

"""`tinyconv doctor`: what this machine has for tinyconv, and how to fix what is broken."""

import typer


def doctor() -> None:
    """Check this machine: versions, processor, threads, caches, GPU. Exits 1 when something needs fixing."""
    from tinyconv.cli.terminal import console
    from tinyconv.doctor import examine

    out = console()
    with out.status("compiling one small kernel"):
        findings = examine()
    topic = None
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            out.print(f"\n[bold]{topic}[/bold]")
        out.print("[red]✗[/red]" if finding.fix else " ", f"{finding.name:<17}", end="")
        out.print(finding.value, markup=False)
        if finding.fix:
            out.print("   fix: ", style="red", end="")
            out.print(finding.fix, markup=False)
    broken = sum(bool(finding.fix) for finding in findings)
    out.print("\nAll is well." if not broken else f"\n{broken} to fix.")
    if broken:
        raise typer.Exit(1)

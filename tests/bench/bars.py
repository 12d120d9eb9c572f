"""The bars: what was wanted, what was found, and whether that is enough."""

from dataclasses import dataclass

NOT_MEASURED = float("nan")


@dataclass(frozen=True, slots=True)
class Bar:
    """One of them. least: whether `wanted` is the least or the most. form: how both are shown."""

    name: str
    wanted: float
    found: float
    least: bool
    form: str

    @property
    def verdict(self) -> str:
        if self.found != self.found:  # not a number
            return "not measured"
        enough = self.found >= self.wanted if self.least else self.found <= self.wanted
        return "pass" if enough else "falls short"


def at_least(name: str, wanted: float, found: float, form: str = "{:.1f}") -> Bar:
    return Bar(name, wanted, found, least=True, form=form)


def at_most(name: str, wanted: float, found: float, form: str = "{:.1f}") -> Bar:
    return Bar(name, wanted, found, least=False, form=form)


def table(bars: list[Bar]) -> list[str]:
    """As a table in Markdown."""
    lines = ["| bar | wanted | found | |", "| --- | --- | --- | --- |"]
    for bar in bars:
        sign = "≥" if bar.least else "≤"
        found = "-" if bar.verdict == "not measured" else bar.form.format(bar.found)
        wanted = bar.form.format(bar.wanted)
        lines.append(f"| {bar.name} | {sign} {wanted} | {found} | {bar.verdict} |")
    return lines

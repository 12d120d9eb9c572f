"""docs/faults.md: the scenarios and mistakes that tests/faults cites, and no other."""

import re
from pathlib import Path

from tests.docs.pages import DOCS, TOP, code, rows, section, text_of
from tests.faults.mutants import MUTANTS
from tests.faults.tally import SCENARIOS

TEXT = text_of(DOCS / "faults.md")
FAULTS = TOP / "tests" / "faults"
CITED = re.compile(r"\bT\d+\b")


def table(heading: str) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in rows(section(TEXT, heading))}


def text_of_the_tests() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in FAULTS.glob("*.py"))


def scenarios_of(file: Path) -> set[str]:
    return set(re.findall(r'mark\.scenario\(\s*"(T\d+)"', file.read_text(encoding="utf-8")))


def test_the_scenarios_are_those_that_are_counted_in_their_order():
    assert list(table("The scenarios")) == sorted(SCENARIOS, key=lambda name: int(name[1:]))


def test_every_scenario_names_the_files_that_run_it():
    files = {
        scenario: {f"tests/faults/{file.name}" for file in FAULTS.glob("test_*.py")
                   if scenario in scenarios_of(file)}
        for scenario in SCENARIOS
    }  # fmt: skip
    assert {name: set(code(row[-1])) for name, row in table("The scenarios").items()} == files


def test_every_planted_mistake_stands_with_its_scenario():
    told = {name: sorted(code(row[0])) for name, row in table("Planted mistakes").items()}
    wanted: dict[str, list[str]] = {}
    for name, mutant in MUTANTS.items():
        wanted.setdefault(mutant.scenario, []).append(name)
    assert told == {scenario: sorted(names) for scenario, names in wanted.items()}


def test_every_number_that_the_tests_cite_is_on_the_page():
    assert set(CITED.findall(text_of_the_tests())) <= table("The scenarios").keys()


def test_every_invariant_that_the_oracle_names_is_on_the_page():
    named = set(re.findall(r'"(I\d)"', text_of_the_tests()))
    assert named <= table("What must hold").keys()


def test_every_step_at_which_a_fault_is_injected_is_on_the_page():
    steps = section(TEXT, "The steps of a batch")
    told = {row[0] for row in rows(steps)} | set(re.findall(r"\bX\d\b", steps))
    assert set(re.findall(r'"([CX]\d)\.\w+"', text_of_the_tests())) <= told

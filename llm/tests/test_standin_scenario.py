from __future__ import annotations

from pathlib import Path

import pytest

from llm.standin import scenario
from llm.standin.scenario import InvalidScenario

ONE_STEP = '[[step]]\ntext = "Hello."\n'


def test_smallest_file_is_one_step() -> None:
    found = scenario.parse(ONE_STEP, name="hello")
    assert [step.text for step in found.parts[0].rounds[0].steps] == ["Hello."]


def test_parts_rounds_steps_and_tools_are_read_in_order() -> None:
    found = scenario.parse(
        """
        [[part]]
        when = "Write"
        [[part.round]]
        [[part.round.step]]
        text = "first"
        [[part.round.step.tool]]
        name = "Write"
        input.file_path = "{cwd}/a"
        [[part.round.step.tool]]
        name = "Bash"
        [[part.round]]
        when = "Change"
        [[part.round.step]]
        text = "second"
        """,
        name="x",
    )
    first, second = found.parts[0].rounds
    assert [tool.name for tool in first.steps[0].tools] == ["Write", "Bash"]
    assert first.steps[0].tools[0].input == {"file_path": "{cwd}/a"}
    assert (second.when, second.steps[0].text) == ("Change", "second")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[step]]\ntxt = 'a'", "bad.toml: step 1, txt: Extra inputs are not permitted"),
        ("[[step]]", "bad.toml: step 1: a step needs text, thinking, a tool or a fault"),
        ("[[step]]\ntext = 3", "bad.toml: step 1, text: Input should be a valid string"),
        ("[[step]]\ntext = 'a'\n[[step]]\nfault = 'flood'", "bad.toml: step 2, fault: Input should be"),
        ("[[step]]\nfault = 'drop'\nstatus = 500", "step 1: status, message and retry_after_s belong to a fault that"),
        ("[[step]]\nfault = 'drop'\ntext = 'a'", "step 1: nothing is said before a drop"),
        ("[[step]]\ntext = 'a'\ntimes = 2", "step 1: status, message, retry_after_s and times belong to a fault"),
        ("[[step]]\nfault = 'drop'\ntimes = 2", "bad.toml: step 1: times has no meaning on the last step"),
        ("[[step]]\n[[step.tool]]\ninput.a = 1", "bad.toml: step 1, tool 1, name: Field required"),
        ("[[part]]\nwhen = 'a'", "bad.toml: part 1: give exactly one kind of table here: [[step]], [[round]]"),
        ("[[part]]\n[[part.step]]\ntext = 3", "bad.toml: part 1, step 1, text: Input should be a valid string"),
        ("", "bad.toml: give exactly one kind of table here: [[step]], [[round]], [[part]]"),
        (2 * "[[part]]\n[[part.step]]\ntext = 'a'\n", "bad.toml: two parts have the same when, or none"),
        ("[[round]]\nwhen='a'\n[[round.step]]\ntext='a'", "bad.toml: round 1: the first round has no when"),
        (2 * "[[round]]\n[[round.step]]\ntext='a'\n", "bad.toml: round 2: every round after the first needs a when"),
        ("[[step]\n", "bad.toml: Expected ']]' at the end of an array declaration (at line 1"),
    ],
)
def test_error_names_the_file_the_step_and_the_fault(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(InvalidScenario) as error:
        scenario.load(file)
    assert str(error.value).startswith(str(file))
    assert said in str(error.value)


def test_directory_holds_scenarios_by_file_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(ONE_STEP)
    assert list(scenario.load(tmp_path)) == ["one", "two"]


def test_empty_directory_and_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(InvalidScenario, match=str(path)):
            scenario.load(path)


def test_example_of_the_readme_is_valid() -> None:
    readme = Path(scenario.__file__).with_name("README.md").read_text()
    examples = [part.partition("```")[0] for part in readme.split("```toml\n")[1:]]
    assert examples
    for example in examples:
        scenario.parse(example, name="readme")

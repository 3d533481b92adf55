"""policy.json: what it may say, and that nobody reads half of one."""

from pathlib import Path

import pytest

from service.errors import PolicyInvalid, PolicyNotKept
from service.versions import policy
from service.versions.policy import Policies, Policy


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A policy comes back as it was, and leaves nothing beside it; without a file it is empty."""
    wanted = Policy(pin=3, labels={"stable": 3, "canary": 4}, canary_share=0.05)
    assert policy.read(tmp_path) == Policy()
    policy.write(tmp_path, wanted)
    assert policy.read(tmp_path) == wanted
    assert [path.name for path in tmp_path.iterdir()] == ["policy.json"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[]", "policy"),
        ('{"pin": "3"}', "pin"),
        ('{"pin": 0}', "pin"),
        ('{"pin": 3, "labels": {"stable": 4}}', "two versions"),
        ('{"canary_share": 0.5}', "needs labels.canary"),
        ('{"labels": {"canary": 1}, "canary_share": 1.5}', "canary_share"),
        ('{"secret-value": 1}', "unknown here"),
        ('{"labels": {"secret-value!": 1}}', "labels"),
        (" " * 70_000, "larger than"),
    ],
)
def test_what_is_no_policy_is_told_without_repeating_it(tmp_path: Path, text: str, reason: str) -> None:
    """The reason names what is known here, never what was written."""
    (tmp_path / "policy.json").write_text(text)
    with pytest.raises(PolicyInvalid, match=reason) as caught:
        policy.read(tmp_path)
    assert "secret" not in caught.value.detail


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """(G4) A policy.json that is a symbolic link is not read."""
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / "policy.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PolicyInvalid, match="no plain file"):
        policy.read(tmp_path)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    """Where the policy cannot be kept, the operator is told to put it there."""
    with pytest.raises(PolicyNotKept, match=r"policy\.json"):
        policy.write(tmp_path / "missing", Policy())


def test_the_last_good_policy_stays(tmp_path: Path) -> None:
    """A file that has become wrong is told of once it is looked at, and the policy before it holds on."""
    home = tmp_path / "digits"
    home.mkdir()
    policies = Policies(tmp_path)
    assert policies.of("digits") == (Policy(), "")
    policy.write(home, Policy(pin=3))
    assert policies.of("digits") == (Policy(pin=3), "")
    (home / "policy.json").write_text("{")
    assert policies.of("digits") == (Policy(pin=3), "policy.json: The policy is not JSON.")
    (home / "policy.json").unlink()
    assert policies.of("digits") == (Policy(), "")

"""One version on disk -> one that lives: which precision it is given."""

from pathlib import Path

import pytest

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.errors import VersionRefused
from service.telemetry.metrics import Metrics
from service.versions.loader import Loader
from tests.service import making


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_a_precision_that_does_not_hold_is_passed_over(
    tmp_path: Path, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A version whose golden answers hold in float32 alone runs in float32; where that is not tried it is
    refused, and the reason names the sample.
    """
    folder = making.first("signs", tmp_path)
    making.edit(folder, tolerance={"scores": 1e-4, "box": 0.02, "mask": 0.01, "familiarity": 0.05})
    settings = Settings(models_dir=tmp_path, engine=engine)
    with Hands(settings) as hands:
        loader = Loader(settings, hands, Metrics())
        if loader.precisions != ["bfloat16", "float32"]:
            pytest.skip("this processor does not compute in bfloat16")
        with caplog.at_level("INFO", "service"):
            live = loader.bring_to_life("signs", 1, folder)
        assert live.predictor.engine.precision == "float32"
        assert "signs/1 does not hold in bfloat16: scores of golden sample" in caplog.text
        with pytest.raises(VersionRefused, match=r"scores of golden sample .* is off by .*, allowed 0\.0001"):
            loader.bring_to_life("signs", 1, folder, ["bfloat16"])

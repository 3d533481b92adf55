"""The Dockerfile, the compose file and what is in deploy/ agree with each other and with the service.

No container engine is needed; `deploy/replay_dockerfile.py` carries the Dockerfile's steps out.
"""

import importlib.util
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.configuration.settings import Settings
from service.processes.listeners import EMPTY_SECONDS
from service.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
FINAL_STAGES = ("cpu", "gpu")
GRAFANA = ROOT / "deploy" / "grafana"


def _load_replay() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replay_dockerfile", ROOT / "deploy/replay_dockerfile.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


replay = _load_replay()


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


@pytest.fixture
def stages() -> dict[str, Any]:
    parsed: dict[str, Any] = replay.parse((ROOT / "Dockerfile").read_text())
    return parsed


@pytest.fixture
def compose() -> Any:
    return _yaml("docker-compose.yml")


@pytest.fixture
def dashboard() -> Any:
    return json.loads((GRAFANA / "dashboards/striate.json").read_text())


def _steps(stages: dict[str, Any], name: str, keyword: str) -> list[str]:
    """The arguments of a keyword in a stage and those that it is built on, the first one first."""
    return [each for stage in replay.ancestry(stages, name) for each in stage.all(keyword)]


def _environment(stages: dict[str, Any], name: str) -> dict[str, str]:
    words = [word for line in _steps(stages, name, "ENV") for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def _running(compose: Any, profile: str) -> dict[str, Any]:
    return {name: each for name, each in compose["services"].items() if profile in each["profiles"]}


# The Dockerfile


def test_the_two_targets_are_final_stages(stages: dict[str, Any]) -> None:
    """The targets are there, nothing is built on them, and a build without a target makes cpu."""
    assert set(FINAL_STAGES) <= stages.keys()
    assert not {stage.base for stage in stages.values()} & set(FINAL_STAGES)
    assert list(stages)[-1] == "cpu"


def test_every_copied_path_is_there(stages: dict[str, Any]) -> None:
    """Each COPY source exists: in the repository and past .dockerignore, or as a stage."""
    patterns = replay.read_ignore((ROOT / ".dockerignore").read_text())
    copies = [replay.parse_copy(each) for stage in stages.values() for each in stage.all("COPY")]
    assert copies
    for copy in copies:
        if copy.stage:
            assert copy.stage in stages
            continue
        for source in copy.sources:
            assert (ROOT / source).is_dir() if source.endswith("/") else (ROOT / source).is_file(), source
            assert not replay.ignored(source.rstrip("/"), patterns), source


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "tests/deploy/test_containers.py",
        "service/__pycache__/app.cpython-311.pyc",
        "models/digits/.2.partial/saved_model.pb",
    ],
)
def test_the_build_context_is_only_what_is_needed(path: str) -> None:
    """Neither history, secrets, tests, caches nor half a version reach a builder."""
    assert replay.ignored(path, replay.read_ignore((ROOT / ".dockerignore").read_text()))


@pytest.mark.parametrize("path", ["service/routes/predict.py", "models/digits/7/variables/variables.index"])
def test_the_build_context_has_what_is_needed(path: str) -> None:
    """Files deep in the copied folders reach a builder."""
    assert not replay.ignored(path, replay.read_ignore((ROOT / ".dockerignore").read_text()))


@pytest.mark.parametrize("name", FINAL_STAGES)
def test_a_container_does_not_run_as_root(stages: dict[str, Any], name: str) -> None:
    """The last USER of each final stage is a number other than root's."""
    user, group = _steps(stages, name, "USER")[-1].split(":")
    assert int(user) == int(group) == 10001


@pytest.mark.parametrize("name", FINAL_STAGES)
def test_a_final_stage_runs_no_installer(stages: dict[str, Any], name: str) -> None:
    """Whatever is installed comes from a builder: a final stage carries no step that could leave a cache."""
    assert not _steps(stages, name, "RUN")


@pytest.mark.parametrize("name", FINAL_STAGES)
def test_a_container_serves_the_copied_models(stages: dict[str, Any], name: str) -> None:
    """It listens on every interface, on the exposed port, with the models that were copied in."""
    environment = _environment(stages, name)
    assert environment["STRIATE_HOST"] == "0.0.0.0"
    assert _steps(stages, name, "EXPOSE") == [environment["STRIATE_PORT"]]
    copies = [replay.parse_copy(each) for each in _steps(stages, name, "COPY")]
    models = [copy.destination for copy in copies if copy.sources == ["models/"]]
    assert [Path(_steps(stages, name, "WORKDIR")[-1]) / each for each in models] == [
        Path(environment["STRIATE_MODELS_DIR"])
    ]


@pytest.mark.parametrize("name", FINAL_STAGES)
def test_signals_reach_the_service(stages: dict[str, Any], name: str) -> None:
    """The entry point is in exec form, so the service itself is process 1 and gets SIGTERM."""
    program, *options, module, service = json.loads(_steps(stages, name, "ENTRYPOINT")[-1])
    assert (program, module, service) == ("python", "-m", "service")
    assert all(option.startswith("-") for option in options)
    assert _steps(stages, name, "STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("name", FINAL_STAGES)
def test_the_surroundings_bring_no_code_in(stages: dict[str, Any], name: str) -> None:
    """Python is isolated: neither PYTHONPATH nor the working folder is searched for modules (I20)."""
    assert "-I" in json.loads(_steps(stages, name, "ENTRYPOINT")[-1])


@pytest.mark.parametrize("name", FINAL_STAGES)
def test_a_container_alone_is_not_open(stages: dict[str, Any], name: str) -> None:
    """The image says nothing of who may ask, so that it starts only with keys or when told otherwise (I6)."""
    environment = {
        each.removeprefix("STRIATE_").lower(): value
        for each, value in _environment(stages, name).items()
        if each.startswith("STRIATE_")
    }
    assert Settings.model_validate(environment).keys_needed


@pytest.mark.parametrize(("address", "needed"), [("127.0.0.1", False), ("0.0.0.0", True), ("10.0.0.7", True)])
def test_what_compose_publishes_further_needs_keys(
    compose: Any, stages: dict[str, Any], address: str, needed: bool
) -> None:
    """The service is told as what its port is published, and without keys it is so on loopback only (I6)."""
    for name, service in compose["services"].items():
        if "build" not in service:
            continue
        published = service["environment"]["STRIATE_PUBLISHED_HOST"]
        assert all(port.startswith(f"{published}:") for port in service["ports"]), name
        settings = {"host": _environment(stages, "cpu")["STRIATE_HOST"], "published_host": address}
        assert Settings.model_validate(settings).keys_needed == needed


@pytest.mark.parametrize("name", FINAL_STAGES)
def test_the_health_check_asks_readiness(stages: dict[str, Any], name: str) -> None:
    """It is a Python that compiles and asks /readyz: the image has no curl."""
    command = json.loads(_steps(stages, name, "HEALTHCHECK")[-1].split("CMD", 1)[1])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert "/readyz" in command[2]


def test_every_package_is_installed_by_hash(stages: dict[str, Any]) -> None:
    """Every pip install either demands hashes and wheels, or has no index to install from."""
    runs = [command for stage in stages.values() for each in stage.all("RUN") for command in each.split("&&")]
    installs = [shlex.split(command) for command in runs if " install " in command]
    assert installs
    for words in installs:
        hashed = "--require-hashes" in words and words[words.index("--only-binary") + 1] == ":all:"
        assert hashed or {"--no-deps", "--no-index"} <= set(words), words


@pytest.mark.parametrize(("name", "lock"), [("cpu", "requirements-cpu.txt"), ("gpu", "requirements-gpu.txt")])
def test_each_target_installs_its_own_lock(stages: dict[str, Any], name: str, lock: str) -> None:
    """The environment that a final stage copies is built from the lock of its engine."""
    origins = [replay.parse_copy(each).stage for each in stages[name].all("COPY")]
    installed = [
        match[1]
        for origin in origins
        for run in _steps(stages, origin, "RUN")
        for match in re.finditer(r"-r (\S+)", run)
    ]
    assert installed == [lock]


@pytest.mark.parametrize(("engine", "other"), [("cpu", "tensorflow"), ("gpu", "openvino")])
def test_each_lock_holds_one_engine(engine: str, other: str) -> None:
    """The cpu image carries no TensorFlow, the gpu image no OpenVINO; every pin has a hash."""
    text = (ROOT / f"requirements-{engine}.txt").read_text()
    pins = re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==.*(?:\n {4}--hash=.*)?", text, re.MULTILINE)
    assert pins
    assert not [name for name in pins if name.startswith(other)]
    assert len(re.findall(r"==.* \\\n {4}--hash=sha256:", text)) == len(pins)


def test_the_build_backend_is_in_the_lock() -> None:
    """The lock that the wheel stage cuts setuptools from has it, hashed, as new as pyproject.toml demands."""
    lock = (ROOT / "requirements-dev.txt").read_text()
    found = re.search(r"^setuptools==(\d+)\S* \\\n {4}--hash=sha256:", lock, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert found
    assert project["build-system"]["requires"] == ["setuptools>=80"]
    assert int(found[1]) >= 80


def test_the_labels_tell_the_project_s_version_and_licence(stages: dict[str, Any]) -> None:
    """The OCI labels say what pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = [word for line in _steps(stages, "cpu", "LABEL") for word in shlex.split(line)]
    labels = dict(word.removeprefix("org.opencontainers.image.").split("=", 1) for word in words)
    assert (labels["title"], labels["version"], labels["licenses"]) == (
        project["name"],
        project["version"],
        project["license"],
    )


# The compose file


def test_the_compose_file_fits_the_specification(compose: Any) -> None:
    """It holds against the JSON schema of the Compose Specification."""
    schema = json.loads((ROOT / "tests/fixtures/compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(compose)


def test_the_schema_refuses_what_compose_would(compose: Any) -> None:
    """The check above can fail: a misspelt option is refused."""
    schema = json.loads((ROOT / "tests/fixtures/compose-spec.json").read_text())
    compose["services"]["striate"]["readonly"] = True
    assert not jsonschema.Draft202012Validator(schema).is_valid(compose)


def test_every_built_image_is_a_target(compose: Any, stages: dict[str, Any]) -> None:
    """Each profile builds the final stage of its own name; every other image is pinned to a version."""
    for name, service in compose["services"].items():
        if "build" in service:
            assert service["build"]["target"] in FINAL_STAGES
            assert service["build"]["target"] in stages
            assert service["profiles"] == [service["build"]["target"]]
        else:
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"]), name


def test_every_container_is_hardened(compose: Any) -> None:
    """Each has a read-only root, no capability, no way to gain one, and a /tmp that goes with it."""
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert [each.split(":")[0] for each in service["tmpfs"]] == ["/tmp"], name
        assert not service.keys() & {"privileged", "cap_add", "user", "pid", "network_mode"}, name


def test_every_published_port_is_on_the_loopback_interface(compose: Any) -> None:
    """Nothing is published further unless PUBLISH_ADDRESS asks for it, which only the service heeds."""
    for name, service in compose["services"].items():
        address = "${PUBLISH_ADDRESS:-127.0.0.1}" if "build" in service else "127.0.0.1"
        assert all(port.startswith(f"{address}:") for port in service["ports"]), name


def test_every_mounted_path_is_there_and_read_only(compose: Any) -> None:
    """Each bind mount is a file or folder of the repository, and no container can write it."""
    mounts = [each for service in compose["services"].values() for each in service.get("volumes", [])]
    for source, _, *options in (each.split(":") for each in mounts):
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert options == ["ro"], source
        else:
            assert source in compose["volumes"]


def test_the_gpu_profile_reserves_a_gpu(compose: Any) -> None:
    """The gpu profile asks for an NVIDIA device, the cpu profile for none."""
    reserved = compose["services"]["striate-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert [(device["driver"], device["capabilities"]) for device in reserved] == [("nvidia", ["gpu"])]
    assert "deploy" not in compose["services"]["striate"]


def test_a_stop_outlasts_the_requests_in_flight(compose: Any) -> None:
    """The grace period is longer than a whole stop may take: the drain, the accept queue and what follows."""
    for name in ("striate", "striate-gpu"):
        variables = compose["services"][name]["environment"]
        assert not {"STRIATE_STOP_SECONDS", "STRIATE_DRAIN_SECONDS"} & variables.keys()
        settings = Settings()
        longest = settings.drain_seconds + EMPTY_SECONDS + settings.stop_seconds + 1
        assert int(compose["services"][name]["stop_grace_period"].removesuffix("s")) > longest


# Prometheus and Grafana


@pytest.mark.parametrize("profile", FINAL_STAGES)
def test_prometheus_reaches_the_service(compose: Any, stages: dict[str, Any], profile: str) -> None:
    """In either profile one container answers to the scrape target's name, on its port and path."""
    (job,) = _yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    named = [
        service
        for service in _running(compose, profile).values()
        if host in service.get("networks", {}).get("default", {}).get("aliases", [])
    ]
    assert [service["build"]["target"] for service in named] == [profile]
    assert port == _environment(stages, profile)["STRIATE_PORT"]
    assert [each.rsplit(":", 1)[1] for each in named[0]["ports"]] == [port]
    assert job["metrics_path"] == "/metrics"


@pytest.mark.parametrize("profile", FINAL_STAGES)
def test_grafana_reaches_prometheus(compose: Any, profile: str) -> None:
    """The provisioned datasource is the Prometheus that runs in either profile."""
    (source,) = _yaml("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert compose["services"][host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert {host, "grafana"} <= _running(compose, profile).keys()
    scrape = _yaml("deploy/prometheus/prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrape


def test_grafana_finds_the_dashboard(compose: Any) -> None:
    """The provider's folder is a mount of the folder that holds the dashboard, and so is the home page."""
    grafana = compose["services"]["grafana"]
    (provider,) = _yaml("deploy/grafana/provisioning/dashboards/striate.yml")["providers"]
    mounts = {target: source for source, target, _ in (each.split(":") for each in grafana["volumes"][:2])}
    assert ROOT / mounts[provider["options"]["path"]] == GRAFANA / "dashboards"
    assert ROOT / mounts["/etc/grafana/provisioning"] == GRAFANA / "provisioning"
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home == Path(provider["options"]["path"]) / "striate.json"


def test_grafana_s_visitors_can_only_look(compose: Any) -> None:
    """Nobody can log in, and who does not is a Viewer."""
    environment = compose["services"]["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"


@pytest.fixture
def exposed() -> dict[str, set[str]]:
    """The labels of every sample that the service exposes, by the sample's name."""
    metrics = Metrics()
    for instrument in vars(metrics).values():
        # Without a value for its labels an instrument exposes no sample.
        if names := getattr(instrument, "_labelnames", ()):
            instrument.labels(*names)
    samples: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
    return samples


def _panels(dashboard: Any) -> list[Any]:
    """Every panel but the headings of rows, which show nothing themselves."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def _selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric in a PromQL expression with the labels that it is selected by."""
    for match in re.finditer(r"\b((?:striate|process)_\w+)(?:\{([^}]*)\})?", expression):
        yield match[1], set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", match[2] or ""))


def _grouping(expression: str) -> set[str]:
    lists = re.findall(r"\bby \(([^)]*)\)", expression)
    return {label.strip() for each in lists for label in each.split(",")}


def test_every_panel_has_an_id_and_a_query(dashboard: Any) -> None:
    """No two panels share an id, and each has a title, a description and a query of the datasource."""
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    (source,) = _yaml("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    for panel in _panels(dashboard):
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert all(target["expr"] for target in panel["targets"]), panel["title"]
        assert panel["targets"], panel["title"]


def test_no_two_panels_overlap(dashboard: Any) -> None:
    """Every cell of the grid, 24 columns wide, holds at most one panel."""
    cells: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in dashboard["panels"]):
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells
        assert place["x"] + place["w"] <= 24
        cells |= own


def test_every_query_is_of_metrics_that_the_service_exposes(
    dashboard: Any, exposed: dict[str, set[str]]
) -> None:
    """Each name in a query is exposed, with each label that it is selected, grouped or captioned by."""
    for panel in _panels(dashboard):
        for target in panel["targets"]:
            found = list(_selectors(target["expr"]))
            assert found, target["expr"]
            grouping = _grouping(target["expr"])
            for metric, labels in found:
                assert metric in exposed, metric
                assert labels | grouping <= exposed[metric], target["expr"]
            captions = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert captions <= grouping, target["legendFormat"]


def test_every_variable_is_a_label_that_the_service_exposes(
    dashboard: Any, exposed: dict[str, set[str]]
) -> None:
    """Each variable lists the values of an exposed label, and queries use no variable but these."""
    for variable in dashboard["templating"]["list"]:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
        assert found
        assert found[2] in exposed[found[1]]
    names = {variable["name"] for variable in dashboard["templating"]["list"]} | {"__rate_interval"}
    text = " ".join(target["expr"] for panel in _panels(dashboard) for target in panel["targets"])
    assert set(re.findall(r"\$(\w+)", text)) == names


def test_every_query_is_well_formed(dashboard: Any) -> None:
    """Brackets close in order, and a counter is never shown without rate or increase."""
    pairs = {")": "(", "]": "[", "}": "{"}
    for target in (target for panel in _panels(dashboard) for target in panel["targets"]):
        expression = re.sub(r'"[^"]*"', '""', target["expr"])
        waiting: list[str] = []
        for character in expression:
            if character in pairs.values():
                waiting.append(character)
            elif character in pairs:
                assert waiting.pop() == pairs[character], target["expr"]
        assert not waiting, target["expr"]
        counters = len(re.findall(r"(?:striate|process)_\w+_(?:total|bucket|sum|count)\b", expression))
        rates = len(re.findall(r"\b(?:rate|increase)\((?:striate|process)_", expression))
        assert rates == counters, target["expr"]


def test_every_instrument_is_on_the_dashboard(dashboard: Any, exposed: dict[str, set[str]]) -> None:
    """What the service measures of its own work, the dashboard shows; of the process, a part."""
    shown = {
        metric
        for panel in _panels(dashboard)
        for target in panel["targets"]
        for metric, _ in _selectors(target["expr"])
    }
    for family in Metrics().registry.collect():
        if family.name.startswith("process_"):
            continue
        assert any(fnmatchcase(metric, f"{family.name}*") for metric in shown), family.name
    assert shown <= exposed.keys()

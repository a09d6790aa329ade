"""`assay up` and `assay down`: Prefect's server with a worker for the deployment `study`, MLflow's server, and one for the report's files."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from filelock import FileLock

from flows import services
from flows.commands import Commands, Output, with_our_python_first
from flows.environment import HOST, port
from flows.services import RunningService, Service
from flows.turns import one_at_a_time
from models.frozen import StudyError
from tasks.layout import LOCAL, MLFLOW, REPORT
from tasks.ranks import free_port

POOL = "assay"
UP_SECONDS = 600.0  # for somebody else who starts or ends services
ORDER = ("prefect", "mlflow", "report", "worker")  # as they are started; they end the other way round


def prefect_server(on_port: int) -> Service:
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(on_port))
    return Service(name="prefect", title="Prefect's server", command=command, port=on_port, port_variable="ASSAY_PREFECT_PORT", health="/api/health")


def mlflow_server(on_port: int) -> Service:
    home = MLFLOW.resolve()
    home.mkdir(parents=True, exist_ok=True)
    # Artifacts by path and not through the server: a `dvc repro` that writes the same files without it finds them where they are.
    stores = (
        "--backend-store-uri",
        f"sqlite:///{home / 'mlflow.db'}",
        "--no-serve-artifacts",
        "--default-artifact-root",
        (home / "artifacts").as_uri(),
    )
    command = (sys.executable, "-m", "mlflow", "server", *stores, "--host", HOST, "--port", str(on_port), "--workers", "1")
    return Service(name="mlflow", title="MLflow's server", command=command, port=on_port, port_variable="ASSAY_MLFLOW_PORT", health="/health")


def report_server(on_port: int) -> Service:
    command = (sys.executable, "-m", "http.server", str(on_port), "--bind", HOST, "--directory", str(REPORT.resolve()))
    return Service(name="report", title="The report's server", command=command, port=on_port, port_variable="ASSAY_REPORT_PORT")


def prefect_worker() -> Service:
    command = (sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "local")
    return Service(name="worker", title="Prefect's worker", command=command)


def up() -> dict[str, RunningService]:
    """Starts what does not run yet, brings Prefect's form up to date, and returns all services by name. What this call started is ended again when
    one of them fails.

    Raises:
        StudyError: a port is in use, or a service does not come up.
    """
    servers = (
        prefect_server(port("ASSAY_PREFECT_PORT")),
        mlflow_server(port("ASSAY_MLFLOW_PORT")),
        report_server(port("ASSAY_REPORT_PORT")),
    )
    with _one_at_a_time():
        running = _running()
        if "prefect" in running and running["prefect"].passing:
            raise StudyError("An `assay run` is at work with a Prefect server of its own: wait for its end, or end it, then run `assay up`.")
        missing = [service for service in servers if service.name not in running]
        started: list[RunningService] = []
        try:
            for service in missing:
                started.append(services.start(service))  # noqa: PERF401 one by one: what was started is stopped when the next one fails
            for service in missing:
                services.wait_until_ready(service)
            running |= {service.name: service for service in started}
            _point_to(running)
            from flows.deployments import register_study  # it imports Prefect, which must know its server by then

            register_study(POOL)  # also when all runs: params.yaml, the form, may have changed
            if "worker" not in running:
                started.append(_start_worker())
                running["worker"] = started[-1]
            return running
        except BaseException:
            for service in reversed(started):
                services.stop(service)
            raise


def down() -> list[RunningService]:
    """Ends all services with all that they started, and returns those that ran."""
    with _one_at_a_time():
        ended = [service for service in reversed(_running().values()) if not service.passing]
        for service in ended:
            services.stop(service)
        return ended


def is_up() -> bool:
    """Whether there is a Prefect server that outlives a run: one that the user named, or that of `assay up`."""
    running = services.find("prefect")
    return "PREFECT_API_URL" in os.environ or (running is not None and not running.passing)


@contextmanager
def one_run_at_a_time() -> Iterator[bool]:
    """Of the runs of this folder's study that would start a server of their own, one goes on; the others wait for its end. Gives whether it waited.

    With a server that is up, they are flow runs there, and wait where one sees them.
    """
    if is_up():
        yield False
        return
    LOCAL.mkdir(exist_ok=True)
    sentence = "Another `assay run` is at work in this folder: waiting for it to end."
    with one_at_a_time(FileLock(LOCAL / "run.lock"), lambda: print(sentence, file=sys.stderr)) as waited:
        yield waited


@contextmanager
def prefect_for_one_run() -> Iterator[None]:
    """A Prefect server for the length of a run: the user's (PREFECT_API_URL), that of `assay up`, or one on a free port that ends with the last run
    that uses it, however that ends. A folder's servers share one SQLite file, so there is never a second one beside another.

    Raises:
        StudyError: when the user's server does not answer, or none can be started.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        _refuse_silent_server(url)
        yield
        return
    with ExitStack() as own:
        with (alone := _one_at_a_time()):
            if (running := services.find("prefect")) is None or running.passing:
                its_port = urlsplit(running.url or "").port if running else None
                own.enter_context(services.kept_up(prefect_server(its_port or free_port()), alone))
            elif not services.answers(f"{running.url}/api/health"):
                raise StudyError(f"Prefect's server at {running.url} does not answer: start it again with `assay down` and `assay up`.")
        _point_to(_running())
        yield


def work_for(pool: str) -> None:
    """Runs a Prefect worker that takes stages of a pool, until it is ended; all that it started ends with it.

    Raises:
        StudyError: no Prefect server is known, or it does not answer.
    """
    if "PREFECT_API_URL" not in os.environ:
        if not is_up():
            raise StudyError("There is no Prefect server to take stages from: set PREFECT_API_URL to that of the studies, or run `assay up` here.")
        _point_to(_running())
    _refuse_silent_server(os.environ["PREFECT_API_URL"])
    from flows.remote_stage import HOME_VARIABLE, register_stage

    register_stage(pool)
    stages = {HOME_VARIABLE: str((LOCAL / "stages").resolve())}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    Commands().run(command, ".", with_our_python_first({**os.environ, **stages}), Output(sys.stdout.buffer, lambda _: None))


def _refuse_silent_server(url: str) -> None:
    if not services.answers(f"{url}/health"):
        raise StudyError(f"The Prefect server at PREFECT_API_URL={url} does not answer: start it, or unset PREFECT_API_URL.")


def _start_worker() -> RunningService:
    from flows.abandoned import close_left_by_worker
    from flows.deployments import wait_for_worker

    close_left_by_worker(POOL)
    worker = prefect_worker()
    running = services.start(worker)
    try:
        wait_for_worker(POOL, lambda: services.check_alive(worker))
    except BaseException:
        services.stop(running)
        raise
    return running


def _point_to(running: dict[str, RunningService]) -> None:
    """Tells Prefect and the stages, through the environment, where their servers are."""
    os.environ["PREFECT_API_URL"] = f"{running['prefect'].url}/api"
    if mlflow := running.get("mlflow"):
        os.environ.setdefault("MLFLOW_TRACKING_URI", str(mlflow.url))


def _running() -> dict[str, RunningService]:
    return {name: running for name in ORDER if (running := services.find(name))}


def _one_at_a_time() -> FileLock:
    services.SERVICES.mkdir(parents=True, exist_ok=True)
    return FileLock(services.SERVICES / "up.lock", timeout=UP_SECONDS)

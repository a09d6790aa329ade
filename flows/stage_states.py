"""How a stage ended, in Prefect's words and back: the state's name says it, its message is the sentence."""

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.execution import Progress, StageState


def as_state(its: Progress) -> State:
    match its.state:
        case StageState.DONE:
            return Completed(message=f"Ran for {its.seconds} s.")
        case StageState.CANCELLED:
            return Cancelled(message=its.sentence)
        case bad:
            return Failed(name=bad.value.capitalize(), message=its.sentence)


def is_broken_off(state: State) -> bool:
    """Whether it is worth another try."""
    return state.name == StageState.BROKEN_OFF.value.capitalize()


def as_progress(state: State, address: str, where: str) -> Progress:
    """Of a stage that ran elsewhere and was not completed."""
    by_name = {bad.value.capitalize(): bad for bad in (StageState.REFUSED, StageState.FAILED, StageState.BROKEN_OFF)}
    if state.is_cancelled():
        return Progress(state=StageState.FAILED, sentence=f"Stage {address} was cancelled in {where}.")
    if state.is_crashed():
        return Progress(state=StageState.BROKEN_OFF, sentence=f"Stage {address} broke off in {where}: {state.message}")
    return Progress(state=by_name.get(state.name or "", StageState.FAILED), sentence=state.message)

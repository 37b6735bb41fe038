"""What a supervisor that starts makes of the inference actors that run: none is ended for what it does not know yet."""

from actors.pool import _models
from hoaban.pool_health import Pulse, hang_of
from hoaban.succession import Models


def test_an_actor_of_code_from_before_does_not_tell_of_its_models_and_is_heard() -> None:
    told = Pulse.__new__(Pulse)
    told.__setstate__([None, None, 0.0, 0.0, 0.5])  # type: ignore[attr-defined]  # as it is unpickled
    assert hang_of(told) is None
    assert _models(told) == Models(loaded=None)
    assert _models(Pulse(lacking=frozenset("a"), loaded=frozenset("b"))) == Models(frozenset("a"), frozenset("b"))

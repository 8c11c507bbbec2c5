"""What workers request together never exceeds what there is."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.config import load
from trunkline.jobs.budget import Budget, Machine, machine_of
from trunkline.model.pipelines import Resources

MACHINE = Machine(cpu=4.0, memory_bytes=1000, gpus=("0", "1"))
wanted = st.builds(
    Resources,
    cpu=st.none() | st.sampled_from([0.1, 0.5, 1.0, 2.0]),
    memory_bytes=st.none() | st.integers(1, 600),
    gpus=st.none() | st.integers(1, 2),
)


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | wanted), max_size=60))
def test_whatever_comes_and_goes_the_sum_fits_and_each_gpu_has_one_holder(
    steps: list[tuple[int, Resources | None]],
) -> None:
    budget, held = Budget(MACHINE), dict[str, Resources]()
    for number, request in steps:
        name = f"worker-{number}"
        if request is None or name in held:
            budget.give_back(name)
            held.pop(name, None)
            continue
        sums = [*held.values(), request]
        fits = (
            sum(r.cpu or 0 for r in sums) <= 4.001
            and sum(r.memory_bytes or 0 for r in sums) <= 1000
            and sum(r.gpus or 0 for r in sums) <= 2
        )
        assert (budget.missing(request) == "") == fits
        if fits:
            budget.hold(name, request)
            held[name] = request
    given_out = [gpu for name in held for gpu in budget.gpus_of(name)]
    assert len(given_out) == len(set(given_out)) == sum(r.gpus or 0 for r in held.values())


def test_what_never_fits_is_told_with_what_there_is() -> None:
    budget = Budget(MACHINE)

    assert budget.never(Resources(cpu=8)) == (
        "a worker requests 8 CPU cores, and there are 4 on this machine"
    )
    assert "1.953 KiB of memory, and there are 1000 bytes" in budget.never(
        Resources(memory_bytes=2000)
    )
    assert "3 GPUs, and there are 2" in budget.never(Resources(gpus=3))
    assert budget.never(Resources()) == ""


def test_settings_say_what_there_is_and_else_the_machine_does() -> None:
    said = {
        "HOME": "/tmp",
        "TRUNKLINE_CPUS": "1.5",
        "TRUNKLINE_MEMORY_BYTES": "5000",
        "TRUNKLINE_GPUS": "0, 3",
    }

    assert machine_of(load(said)) == Machine(cpu=1.5, memory_bytes=5000, gpus=("0", "3"))
    assert machine_of(load({"HOME": "/tmp"})).memory_bytes > 2**26

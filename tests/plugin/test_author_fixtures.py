"""The fixtures for authors, as far as no cluster is needed: collection, misuse, explanations."""

from __future__ import annotations

from typing import Any

import pytest


def test_fixtures_explain_themselves(inner: Any) -> None:
    result = inner.run("--fixtures")
    for name in ("cluster", "namespace", "deploy", "load", "inject", "eventually"):
        result.stdout.re_match_lines([rf"{name}( \[session scope\])? -- .*fixtures\.py:\d+"])
    text = result.stdout.str()
    # Each with an example, in what --fixtures shows without -v.
    for example in (
        'checkout = await deploy("deploy/")',
        "async with load(checkout, rate=20) as traffic:",
        "async with inject(slow) as fault:",
        "await namespace.apply(",
        "await eventually(lambda: checkout.ready() == 3",
        "cluster.versions.kubernetes",
    ):
        assert example in text


def test_coroutine_tests_need_no_mark(inner: Any) -> None:
    inner.test_file(
        """
        import pytest

        @pytest.fixture
        def mine(eventually):
            return eventually

        async def test_directly(eventually):
            assert await eventually(lambda: 7) == 7

        async def test_by_a_fixture_of_the_authors(mine):
            assert await mine(lambda: 8, within="1s") == 8

        class TestGroup:
            @pytest.mark.parametrize("n", [1, 2])
            async def test_method(self, eventually, n):
                assert await eventually(lambda: n) == n
        """
    )
    inner.run("test_inner.py").assert_outcomes(passed=4)


def test_coroutine_tests_of_others_are_left_alone(inner: Any) -> None:
    inner.test_file("async def test_theirs(): pass\n")
    result = inner.run("test_inner.py")
    result.stdout.fnmatch_lines(["*async def functions are not natively supported*"])


def test_a_failed_wait_tells_the_story(inner: Any) -> None:
    inner.test_file(
        """
        async def test_wait(eventually):
            seen = iter([1, 2, 2, 3] + [3] * 99)
            def check():
                assert next(seen) > 3, "not enough"
            await eventually(check, within="500ms", every="50ms", what="more than three")
        """
    )
    result = inner.run("test_inner.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*WaitTimeout: waited 0.5 s for: more than three",
            "*last seen (*): AssertionError: not enough*",
            "*active faults: none",
            "*recent Warning events: none",
            "*remedy: *",
        ]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('deploy("nowhere/")', "*UsageError: deploy('nowhere/'): there is no such folder*"),
        ('deploy("bare/")', "*neither * nor the folder above it has a harness.toml*"),
        ('deploy("checkout", variant="soft")', "*UsageError: checkout has no variant 'soft'*"),
    ],
)
def test_what_cannot_be_deployed(inner: Any, call: str, message: str) -> None:
    inner.pytester.mkdir("bare")
    # Its kubectl would come from the node image; these are refused before it is needed.
    inner.test_file(f"async def test_it(deploy):\n    await {call}\n")
    result = inner.run("test_inner.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message, "*remedy: *"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("inject()", "*UsageError: inject() was given no fault"),
        ("inject('slow')", "*UsageError: 'slow' cannot be injected"),
        (
            "inject(CutConnections('database'))",
            "*database refuses connections: which of the 0 deployed applications[?]",
        ),
    ],
)
def test_what_cannot_be_injected(inner: Any, call: str, message: str) -> None:
    inner.test_file(
        "from harness.faults import CutConnections\n"
        f"async def test_it(inject):\n    async with {call}:\n        pass\n"
    )
    result = inner.run("test_inner.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message, "*remedy: *"])


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ('harness("round")', "*@pytest.mark.harness cannot take ('round',) {}"),
        ("harness(alone=True)", "*@pytest.mark.harness cannot take () {'alone': True}"),
        ('asyncio(loop_scope="module")', "*its loop lasts for the module, but *"),
    ],
)
def test_marks_that_cannot_be_meant(inner: Any, mark: str, message: str) -> None:
    inner.test_file(
        f"import pytest\n@pytest.mark.{mark}\nasync def test_it(eventually):\n    pass\n"
    )
    result = inner.run("test_inner.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message, "*remedy: *"])


def test_an_ordinary_test_with_a_load_of_its_own_is_left_alone(inner: Any) -> None:
    inner.test_file(
        """
        import pytest

        @pytest.mark.parametrize("load", [1, 2])
        def test_it(load):
            assert load
        """
    )
    inner.run("test_inner.py").assert_outcomes(passed=2, warnings=0)


def test_a_shape_too_small_for_a_test_is_refused(inner: Any) -> None:
    inner.test_file(
        'import pytest\n@pytest.mark.harness("workers")\ndef test_it(cluster):\n    pass\n'
    )
    result = inner.run("test_inner.py", "--harness-shape=single")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*needs a cluster of shape workers, and --harness-shape is single", "*remedy: *"]
    )
    inner.run("test_inner.py", "--harness-shape=ha").assert_outcomes(passed=1)


def test_the_session_takes_the_smallest_shape_that_serves_all(inner: Any) -> None:
    inner.test_file(
        """
        import pytest
        from harness.plugin.settings import shape

        @pytest.mark.harness("ha")
        def test_needs_no_cluster(): pass

        @pytest.mark.harness("workers")
        def test_needs_workers(cluster): pass

        def test_any(cluster, request):
            assert shape(request.session) == "workers"
        """
    )
    inner.run("test_inner.py").assert_outcomes(passed=3)

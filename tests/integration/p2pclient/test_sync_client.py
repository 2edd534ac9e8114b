"""The blocking client: the same answers and errors, from any number of threads, and nothing left behind."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from p2pclient import BadImage, Client, ClientClosed


def loop_threads():
    return [thread for thread in threading.enumerate() if thread.name == "p2pclient"]


def run(program, *arguments):
    """Run a program in a child process whose warnings are shown; its outcome."""
    # Not in the development mode: asyncio would complain of callbacks that wait for a busy machine.
    command = [sys.executable, "-W", "default", "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_it_answers_as_the_asynchronous_one(fleet, tmp_path):
    """classify and lookup take and give the same, and the errors are the same objects."""
    (worker,) = fleet.add()
    path = tmp_path / "cat.jpg"
    path.write_bytes(fleet.jpeg)
    with Client(fleet.url, timeout_s=20) as client:
        prediction = client.classify(path, top=1)
        assert (prediction.labels, prediction.worker) == ((("tabby", 0.61),), worker.address)
        assert client.lookup().address == worker.address
        assert [found.id for found in client.lookup("classify", count=3)] == ["w0"]
        worker.behave = fleet.answers(400, "this is no image")
        with pytest.raises(BadImage, match="this is no image"):
            client.classify(b"?")
        with pytest.raises(FileNotFoundError):
            client.classify(tmp_path / "none.jpg")


def test_eight_threads_share_one_client(fleet):
    """Calls of eight threads are all answered, over one loop and a handful of connections."""
    workers = fleet.add(2)
    with Client(fleet.url) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.classify(fleet.jpeg), range(200)))
        assert len(loop_threads()) == 1
    assert len(answers) == 200
    assert all(worker.seen for worker in workers)
    assert len({seen.connection for worker in workers for seen in worker.seen}) <= 16


def test_closing_ends_the_thread(fleet):
    """After close there is no thread, a second close is harmless and a call says what is wrong."""
    fleet.add()
    client = Client(fleet.url)
    assert loop_threads() == []
    client.classify(fleet.jpeg)
    assert len(loop_threads()) == 1
    client.close()
    client.close()
    assert loop_threads() == []
    with pytest.raises(ClientClosed):
        client.classify(fleet.jpeg)


def test_a_client_never_used_is_closed_all_the_same():
    """Closing before the first call starts and leaves nothing."""
    client = Client("127.0.0.1")
    client.close()
    assert loop_threads() == []
    with pytest.raises(ClientClosed):
        client.lookup()


@pytest.mark.parametrize("waiting_for", ["an answer", "a worker"])
def test_closing_ends_calls_of_other_threads(fleet, waiting_for):
    """A thread that waits gets ClientClosed when another one closes the client."""
    if waiting_for == "an answer":
        fleet.add()[0].behave = fleet.hang
    client = Client(fleet.url)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.classify, fleet.jpeg)
        fleet.until(lambda: any(worker.seen for worker in fleet.started) or len(fleet.lookup.asked) > 1)
        client.close()
        with pytest.raises(ClientClosed, match="during the call"):
            call.result(timeout=10)


def test_a_forgotten_client_is_cleaned_up(fleet):
    """A client that nobody holds any more takes its thread and connections with it."""
    (worker,) = fleet.add()
    client = Client(fleet.url)
    client.classify(fleet.jpeg)
    assert len(worker.seen) == 1
    del client
    gc.collect()
    fleet.until(lambda: not loop_threads())


def test_the_collector_does_not_wait_for_the_loop(fleet):
    """The garbage collector may run while this thread holds what the loop's thread waits for: it must not block."""
    fleet.add()
    client = Client(fleet.url)
    client.classify(fleet.jpeg)
    held, waiting = threading.Lock(), threading.Event()

    def wait_for_the_lock():
        waiting.set()
        with held:
            pass

    with held:
        engine = next(iter(client._engines.values()))
        engine._loop._loop.call_soon_threadsafe(wait_for_the_lock)
        assert waiting.wait(10)
        collected = threading.Event()
        weakref.finalize(engine, collected.set)
        del client, engine
        gc.collect()
        assert collected.is_set()
    fleet.until(lambda: not loop_threads())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_unclosed_client_does_not_hold_up_the_exit(fleet, loop):
    """The interpreter ends at once and without a word although nobody closed the client."""
    fleet.add()
    program = """
        import sys
        from p2pclient import Client
        if sys.argv[2] == "uvloop":
            import asyncio, uvloop
            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        client = Client(sys.argv[1])
        print(client.classify(b"an image").best.label)
    """
    ended = run(program, fleet.url, loop)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "tabby\n", "")


def test_an_exit_during_a_call_is_clean(fleet):
    """A call that another (daemon) thread still waits for does not hold up the exit either."""
    (worker,) = fleet.add()
    worker.behave = fleet.hang
    program = """
        import sys, threading
        from p2pclient import Client
        client = Client(sys.argv[1])
        threading.Thread(target=client.classify, args=(b"an image",), daemon=True).start()
        sys.stdin.readline()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), fleet.url], stdin=subprocess.PIPE, text=True
    )
    fleet.until(lambda: worker.seen)
    child.communicate("go\n", timeout=10)
    assert child.returncode == 0


def test_ctrl_c_ends_a_call(fleet):
    """KeyboardInterrupt leaves the waiting call and gives its request up, though the client stays open."""
    (worker,) = fleet.add()
    given_up = threading.Event()

    async def answer_never(request, body):
        await fleet.until_closed(request)
        given_up.set()
        return await fleet.answer(request, body)

    worker.behave = answer_never
    program = """
        import sys
        from p2pclient import Client
        with Client(sys.argv[1]) as client:
            try:
                client.classify(b"an image")
            except KeyboardInterrupt:
                print("interrupted", flush=True)
                sys.stdin.readline()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), fleet.url]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    fleet.until(lambda: worker.seen)
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert given_up.wait(timeout=10)
    assert child.communicate("go on\n", timeout=10)[0] == ""
    assert child.returncode == 0


def test_a_client_made_before_a_fork_works_after_it(fleet):
    """Parent and child each go on with the client: the child with a loop and connections of its own."""
    workers = fleet.add(2)
    program = """
        import os, sys
        from p2pclient import Client
        client = Client(sys.argv[1])
        client.classify(b"before")
        child = os.fork()
        for _ in range(5):
            assert client.classify(b"child" if child == 0 else b"parent").best.label == "tabby"
        if child == 0:
            client.close()
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert client.classify(b"parent").best.label == "tabby"
        client.close()
    """
    ended = run(program, fleet.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    seen = [seen for worker in workers for seen in worker.seen]
    assert sorted(s.body for s in seen) == [b"before"] + [b"child"] * 5 + [b"parent"] * 6
    of_child = {s.connection for s in seen if s.body == b"child"}
    assert of_child.isdisjoint({s.connection for s in seen if s.body != b"child"})


def test_workers_and_services_without_a_loop(fleet):
    """The rest of the methods, from a thread."""
    fleet.add(2)
    with Client(fleet.url) as client:
        assert [worker.id for worker in client.workers()] == ["w0", "w1"]
        assert [service.name for service in client.services()] == ["classify"]
        assert repr(client) == f"Client('{fleet.url}', service=None, routing='watch')"

"""Measures what squall costs beside its peers, against one nginx, in one run.

Five questions, each answered side by side:

cpu     How much CPU time a client needs for one request. The client runs on core
        1, nginx on core 0. CPU time is what the kernel counted for the client's
        threads, requests are what nginx counted, both over the same window after
        a warm-up. The clients take turns (A B C A B C); medians are shown.
memory  What one more virtual user keeps resident: the process with N of them less
        the process with one, divided by N - 1. Active ones send requests; idle
        ones sleep. Up to 100 VUs the median of five processes.
recorders  What recorders add to the CPU time of a request, all threads counted: under a
        load that leaves some of the client's core to them, at a rate, and flat out,
        where they have none but the server's, which interrupts them. And what one that
        does harm takes from the load, by its requests/s. Ratios are of the same round,
        and each round has an order of its own: what ran before counts, too.
arrivals  How late iterations of an open model start at a steady rate, on one core, and
        what was dropped: iteration_lag, as squall tells it. Beside it, on the same core,
        how late a loop wakes that does nothing but sleep: what of the lag is the
        machine's.
start   How long from the start of the process to the first byte of its first
        request, with a warm cache of compiled components.

On loopback a part of the server's work is done inside the client's system calls:
compare the figures with each other, not with those of another machine.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SQUALL = ROOT / "target/release/squall"
HELLO = ROOT / "guest-examples/rust/target/wasm32-wasip2/release/hello.wasm"
IDLE = ROOT / "tests/guests/target/wasm32-wasip2/release/idle.wasm"
VISITOR = ROOT / "tests/guests/target/wasm32-wasip2/release/visitor.wasm"
MISRECORD = ROOT / "tests/guests/target/wasm32-wasip2/release/misrecord.wasm"
REQWEST = ROOT / "benches/peers/target/release/reqwest-loop"
SERVER_CORE, CLIENT_CORE = "0", "1"
# Longer than any measurement: the client is stopped when it was measured.
FOREVER = 3600
BASELINE = "reqwest loop"
QUESTIONS = ["cpu", "memory", "recorders", "arrivals", "start"]


def say(text):
    """Tells how far it got, on stderr."""
    print(f"benches: {text}", file=sys.stderr, flush=True)


class Nginx:
    """nginx on the server's core, answering everything with 13 bytes."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.port, self.status_port = free_port(), free_port()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        config = self.folder / "nginx.conf"
        config.write_text(
            f"""daemon off; master_process off; worker_processes 1; pid nginx.pid;
events {{ worker_connections {files - 100}; use epoll; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{self.port} backlog=16384;
        default_type text/plain;
        location / {{ return 200 "hello, world\\n"; }}
    }}
    server {{
        listen 127.0.0.1:{self.status_port};
        location / {{ stub_status; }}
    }}
}}
"""
        )
        self.process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, "nginx", "-p", folder, "-c", config, "-e", self.folder / "error.log"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = f"http://127.0.0.1:{self.port}/"
        deadline = time.monotonic() + 10
        while True:
            try:
                self.status()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = self.folder / "error.log"
                    raise SystemExit(f"nginx does not start: {log.read_text() if log.exists() else ''}") from None
                time.sleep(0.02)

    def status(self):
        """Returns the open connections and the requests so far, this one left out."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/", timeout=10) as answer:
            words = answer.read().decode().split()
        # Active connections: 1 server accepts handled requests A H R Reading: …
        self.asked = getattr(self, "asked", 0) + 1
        return int(words[2]) - 1, int(words[9]) - self.asked

    def quiet(self):
        """Waits until all clients are gone."""
        deadline = time.monotonic() + 20
        while self.status()[0] > 0 and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Client:
    """A client's process on the client's core."""

    def __init__(self, command, folder, env=None, cores=CLIENT_CORE):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUALL_")}
        environment |= {"SQUALL_CACHE_DIR": str(Path(folder) / "cache"), "GOMAXPROCS": "1"} | (env or {})
        self.errors = tempfile.TemporaryFile(dir=folder)
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            env=environment,
        )
        self.command = command

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def check(self):
        """Fails if it ended before it was told to."""
        if self.process.poll() is not None:
            self.errors.seek(0)
            text = self.errors.read().decode(errors="replace")[-2000:]
            command = " ".join(map(str, self.command))
            raise SystemExit(f"`{command}` ended early with {self.process.returncode}\n{text}")

    def cpu_seconds(self, named=""):
        """What its threads ran for so far, those whose names begin so."""
        self.check()
        nanoseconds = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                if not (task / "comm").read_text().startswith(named):
                    continue
                nanoseconds += int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass  # A thread that just ended.
        return nanoseconds / 1e9

    def memory_kb(self):
        """What it keeps resident, and its page tables."""
        self.check()
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return int(values["VmRSS"].split()[0]), int(values["VmPTE"].split()[0])

    def settled_kb(self, limit):
        """Its memory once it no longer grows, or after `limit` seconds."""
        deadline = time.monotonic() + limit
        before = self.memory_kb()
        while time.monotonic() < deadline:
            time.sleep(1.5)
            now = self.memory_kb()
            if abs(now[0] - before[0]) < max(64, before[0] * 0.002):
                return now
            before = now
        return before


def clients(arguments):
    """Returns the clients to measure as name -> command for (url, connections)."""
    known = {
        BASELINE: lambda url, n: [REQWEST, url, n, FOREVER],
        "reqwest loop, shared": lambda url, n: [REQWEST, url, n, FOREVER, "shared"],
        "squall": lambda url, n: [
            SQUALL, "run", HELLO, "--base-url", url, "--vus", n, "--duration", f"{FOREVER}s",
            "--telemetry", "-", "--graceful-stop", "1s",
        ],
        "wrk": lambda url, n: ["wrk", "-t1", f"-c{n}", f"-d{FOREVER}s", url],
        "oha": lambda url, n: ["oha", "--no-tui", "-c", n, "-z", f"{FOREVER}s", url],
        "hey": lambda url, n: ["hey", "-c", n, "-z", f"{FOREVER}s", url],
        "ab": lambda url, n: ["ab", "-q", "-k", "-r", "-c", n, "-n", 5_000_000, "-s", 60, url],
    }
    if arguments.without_squall:
        del known["squall"]
    absent = [name for name in ("wrk", "oha", "hey", "ab") if not shutil.which(name)]
    for name in absent:
        del known[name]
    return known, absent


def warm_up(nginx, client, connections, seconds):
    """Waits until all connections are open and in use."""
    deadline = time.monotonic() + 60
    while nginx.status()[0] < connections:
        client.check()
        if time.monotonic() > deadline:
            say(f"only {nginx.status()[0]} of {connections} connections are open")
            break
        time.sleep(0.1)
    time.sleep(seconds)


def measure_cpu(arguments, nginx, folder):
    known, _ = clients(arguments)
    taken = {(name, n): [] for n in arguments.connections for name in known}
    for turn in range(arguments.rounds):
        for connections in arguments.connections:
            for name, command in known.items():
                say(f"cpu, round {turn + 1} of {arguments.rounds}: {name}, {connections} connections")
                with Client(command(nginx.url, connections), folder) as client:
                    warm_up(nginx, client, connections, arguments.warm_up)
                    start, cpu, requests = time.monotonic(), client.cpu_seconds(), nginx.status()[1]
                    time.sleep(arguments.window)
                    cpu, requests = client.cpu_seconds() - cpu, nginx.status()[1] - requests
                    seconds = time.monotonic() - start
                if requests < 100:
                    raise SystemExit(f"{name} sent only {requests} requests in {seconds:.1f} s")
                taken[name, connections].append((cpu / requests * 1e6, requests / seconds, cpu / seconds))
                nginx.quiet()
    rows = []
    for (name, connections), values in taken.items():
        per_request = [value[0] for value in values]
        rows.append(
            {
                "client": name,
                "connections": connections,
                "cpu_us_per_request": statistics.median(per_request),
                "lowest": min(per_request),
                "highest": max(per_request),
                "requests_per_s": statistics.median(value[1] for value in values),
                "core_share": statistics.median(value[2] for value in values),
            }
        )
    for row in rows:
        base = next(r for r in rows if r["client"] == BASELINE and r["connections"] == row["connections"])
        row["ratio"] = row["cpu_us_per_request"] / base["cpu_us_per_request"]
        # Of the rounds one by one: what was measured side by side.
        pairs = zip(taken[row["client"], row["connections"]], taken[BASELINE, row["connections"]], strict=True)
        row["round_ratios"] = [ours[0] / theirs[0] for ours, theirs in pairs]
    return rows


def measure_memory(arguments, nginx, folder):
    def active(command):
        return lambda vus: command(nginx.url, vus)

    known, _ = clients(arguments)
    kinds = {}
    if not arguments.without_squall:
        kinds["squall, active"] = active(known["squall"])
        kinds["squall, idle"] = lambda vus: [
            SQUALL, "run", IDLE, "--vus", vus,
            "--duration", f"{FOREVER}s", "--telemetry", "-", "--graceful-stop", "1s",
        ]
    kinds[f"{BASELINE}, active"] = active(known[BASELINE])
    def measured(kind, command, vus):
        say(f"memory: {kind}, {vus} VUs")
        with Client(command(vus), folder) as client:
            if kind.endswith("active"):
                warm_up(nginx, client, vus, arguments.warm_up)
            else:
                time.sleep(arguments.warm_up)
            taken = client.settled_kb(30)
        nginx.quiet()
        return taken

    rows = []
    for kind, command in kinds.items():
        # The first turn fills the cache of compiled components.
        measured(kind, command, 1)
        base = None
        for vus in [1, *arguments.vus]:
            # What the start leaves behind differs by megabytes from process to
            # process, which few VUs do not hide.
            turns = 5 if vus <= 100 else 1
            taken = [measured(kind, command, vus) for _ in range(turns)]
            resident, tables = (statistics.median(values) for values in zip(*taken, strict=True))
            if base is None:
                base = resident, tables
                continue
            rows.append(
                {
                    "what": kind,
                    "vus": vus,
                    "resident_mb": resident / 1024,
                    "base_mb": base[0] / 1024,
                    "kb_per_vu": (resident - base[0]) / (vus - 1),
                    "page_tables_kb_per_vu": (tables - base[1]) / (vus - 1),
                }
            )
    return rows


# What recorders are measured under: which arguments, on which cores, and how many
# connections there are when it has begun.
LOADS = {
    # As fast as one thread can. There is no core for a recorder but the server's.
    "flat out": ([HELLO, "--vus", 64], f"{SERVER_CORE},{CLIENT_CORE}", 64),
    # VUs that pause, as people do, and leave some of their core to others.
    "pauses": ([VISITOR, "--vus", 600], CLIENT_CORE, 600),
    "5,000/s": ([HELLO, "--rate", "5000/s"], f"{SERVER_CORE},{CLIENT_CORE}", 1),
}
EVERYTHING = "json,requests=all,measurements=transactions+iterations+checks+samples"
# Under which load, which recorders, and beside which of the same load they are held.
RECORDERS = {
    ("flat out", "none"): (["none"], "none"),
    ("flat out", "json"): (["json"], "none"),
    ("flat out", "every measurement"): ([EVERYTHING], "none"),
    ("flat out", "json, one that traps"): (["json", f"{MISRECORD},mode=trap"], "json"),
    ("flat out", "json, one that never returns"): (["json", f"{MISRECORD},mode=spin"], "json"),
    ("flat out", "json, one that is slow"): (["json", f"{MISRECORD},mode=slow"], "json"),
    ("pauses", "none"): (["none"], "none"),
    ("pauses", "json"): (["json"], "none"),
    ("pauses", "every measurement"): ([EVERYTHING], "none"),
    ("5,000/s", "none"): (["none"], "none"),
    ("5,000/s", "every measurement"): ([EVERYTHING], "none"),
}


def measure_recorders(arguments, nginx, folder):
    summary = Path(folder) / "summary.json"

    def measured(load, recorders):
        script, cores, connections = LOADS[load]
        command = [
            SQUALL, "run", *script, "--base-url", nginx.url, "--duration", f"{FOREVER}s", "--threads", 1,
            "--telemetry", "/dev/null", "--graceful-stop", "1s", "--summary", summary,
        ]
        for recorder in recorders:
            command += ["--recorder", recorder]
        with Client(command, folder, cores=cores) as client:
            warm_up(nginx, client, connections, arguments.warm_up)
            start, before = time.monotonic(), (client.cpu_seconds(), client.cpu_seconds("recorder-"))
            requests = nginx.status()[1]
            time.sleep(arguments.window)
            after = (client.cpu_seconds(), client.cpu_seconds("recorder-"))
            requests = nginx.status()[1] - requests
            seconds = time.monotonic() - start
            client.process.send_signal(signal.SIGINT)
            client.process.wait(60)
        nginx.quiet()
        told = json.loads(summary.read_text())["telemetry"]["recorders"]
        cpu, own = ((end - begin) / requests * 1e6 for begin, end in zip(before, after, strict=True))
        return {
            "cpu_us_per_request": cpu,
            "recorders_us_per_request": own,
            "requests_per_s": requests / seconds,
            "entries_written": sum(recorder["entries_written"] for recorder in told),
            "events_dropped": sum(recorder["events_dropped"] for recorder in told),
        }

    taken = {key: [] for key in RECORDERS}
    for turn in range(arguments.rounds):
        # So that neither a machine that becomes slower nor what ran just before favours
        # one of them in all rounds.
        order = random.Random(turn).sample(list(RECORDERS.items()), len(RECORDERS))
        for (load, kind), (recorders, _) in order:
            say(f"recorders, round {turn + 1} of {arguments.rounds}: {load}, {kind}")
            taken[load, kind].append(measured(load, recorders))
    rows = []
    for (load, kind), (_, beside) in RECORDERS.items():
        figures = taken[load, kind]

        # Within a round: from one to the next the machine's clock may be another.
        def ratio(figure, other, figures=figures, load=load):
            pairs = zip(figures, taken[load, other], strict=True)
            return statistics.median(mine[figure] / its[figure] for mine, its in pairs)

        rows.append({
            "load": load,
            "recorders": kind,
            **{figure: statistics.median(it[figure] for it in figures) for figure in figures[0]},
            "ratio": ratio("cpu_us_per_request", "none"),
            "rate_ratio": ratio("requests_per_s", beside),
        })
    return rows


# Sleeps until each of so many points in time, and notes by how much it wakes late.
SLEEPER = """
import sys, time
rate, count = map(int, sys.argv[1:])
clock, lags = time.monotonic, []
start = clock()
for number in range(count):
    due = start + number / rate
    if (left := due - clock()) > 0:
        time.sleep(left)
    lags.append(clock() - due)
lags.sort()
print(lags[len(lags) // 2] * 1e3, lags[len(lags) * 99 // 100] * 1e3)
"""


def sleeper_ms(rate, seconds):
    """Returns the median and the 99th percentile of how late a loop wakes that only sleeps.

    The server's core is busy meanwhile, as it is beside a client.
    """
    python = [sys.executable, "-c"]
    command = ["taskset", "-c", CLIENT_CORE, *python, SLEEPER, str(rate), str(int(rate * seconds))]
    with subprocess.Popen(["taskset", "-c", SERVER_CORE, *python, "while True: pass"]) as busy:
        try:
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        finally:
            busy.kill()
    return tuple(map(float, told.split()))


def measure_arrivals(arguments, nginx, folder):
    summary = Path(folder) / "arrivals.json"
    rows = []
    for rate in arguments.rates:
        say(f"arrivals: {rate}/s")
        taken = []
        for _ in range(arguments.rounds):
            command = [
                SQUALL, "run", HELLO, "--base-url", nginx.url, "--rate", f"{rate}/s", "--duration",
                f"{arguments.window + arguments.warm_up:g}s", "--threads", 1, "--recorder", "none",
                "--quiet", "--summary", summary,
            ]
            with Client(command, folder) as client:
                client.process.wait(60)
            told = json.loads(summary.read_text())
            lag, all_requests = told["iterations"]["lag"], told["all"]
            taken.append((
                lag["median_ms"], lag["p99_ms"], lag["p999_ms"], lag["max_ms"],
                all_requests["duration"]["p99_ms"], all_requests["from_due"]["p99_ms"],
                told["iterations"]["dropped"], told["health"]["cpu_mean_percent"] or 0,
                *sleeper_ms(rate, arguments.window + arguments.warm_up),
            ))
            nginx.quiet()
        keys = [
            "median_ms", "p99_ms", "p999_ms", "max_ms", "sent_p99_ms", "due_p99_ms", "dropped", "cpu_percent",
            "sleeper_median_ms", "sleeper_p99_ms",
        ]
        rows.append({"rate": rate} | dict(zip(keys, map(statistics.median, zip(*taken, strict=True)), strict=True)))
    return rows


class FirstByte:
    """A listener that says when the first byte of a request came."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.settimeout(30)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"

    def wait(self):
        connection, _ = self.listener.accept()
        connection.settimeout(30)
        with connection:
            connection.recv(1)
            came = time.monotonic()
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\nhello, world\n")
            # Read what is left, or the answer would be reset away.
            connection.settimeout(0.2)
            try:
                while connection.recv(4096):
                    pass
            except OSError:
                pass
        return came


def measure_start(arguments, folder):
    first_byte = FirstByte()
    kinds = {BASELINE: [REQWEST, first_byte.url, 1, FOREVER]}
    if not arguments.without_squall:
        for vus in (1, 1000):
            kinds[f"squall, {vus} VU{'s' if vus > 1 else ''}"] = [
                SQUALL, "run", HELLO, "--base-url", first_byte.url, "--vus", vus, "--duration", "60s",
                "--telemetry", "-", "--graceful-stop", "0s",
            ]
    taken = {kind: [] for kind in kinds}
    # The first turn warms the caches, squall's and the kernel's.
    for turn in range(arguments.starts + 1):
        for kind, command in kinds.items():
            say(f"start, {turn} of {arguments.starts}: {kind}")
            came = []
            waiter = threading.Thread(target=lambda came=came: came.append(first_byte.wait()))
            waiter.start()
            start = time.monotonic()
            client = Client(command, folder)
            waiter.join()
            client.process.kill()
            client.process.wait()
            drain(first_byte.listener)
            if not came:
                raise SystemExit(f"{kind} sent no request")
            if turn > 0:
                taken[kind].append((came[0] - start) * 1e3)
    return [
        {"what": kind, "median_ms": statistics.median(times), "lowest_ms": min(times), "highest_ms": max(times)}
        for kind, times in taken.items()
    ]


def drain(listener):
    """Takes the connections of a client that is gone out of the queue."""
    listener.settimeout(0.05)
    try:
        while True:
            listener.accept()[0].close()
    except OSError:
        pass
    listener.settimeout(30)


GOALS = {("cpu", 64): 1.4, ("cpu", 1000): 1.6, "every measurement": 1.3, "active": 130, "idle": 45, "start": 50, "lag": 1.0}


def verdict(value, goal):
    return f"goal <= {goal:g}: {'met' if value <= goal else 'MISSED'}"


def show(results, absent):
    """Prints the tables, at most 100 columns wide."""
    if "cpu" in results:
        print("\nCPU time per request, client on one core (median of the rounds)")
        print(f"{'client':<22}{'conns':>6}{'us/req':>8}{'low-high':>14}{'req/s':>9}{'core':>6}{'ratio':>7}")
        for row in results["cpu"]:
            spread = f"{row['lowest']:.1f}-{row['highest']:.1f}"
            goal = GOALS.get(("cpu", row["connections"])) if row["client"] == "squall" else None
            print(
                f"{row['client']:<22}{row['connections']:>6}{row['cpu_us_per_request']:>8.1f}{spread:>14}"
                f"{row['requests_per_s']:>9.0f}{row['core_share']:>6.0%}{row['ratio']:>7.2f}"
                + (f"  {verdict(row['ratio'], goal)}" if goal else "")
            )
    if "memory" in results:
        print("\nResident memory per virtual user (what N - 1 more of them added)")
        print(f"{'client':<22}{'VUs':>6}{'MB':>8}{'base MB':>9}{'KB/VU':>8}{'+ page tables':>15}")
        for row in results["memory"]:
            goal = GOALS.get(row["what"].rsplit(", ")[-1]) if row["what"].startswith("squall") else None
            print(
                f"{row['what']:<22}{row['vus']:>6}{row['resident_mb']:>8.1f}{row['base_mb']:>9.1f}"
                f"{row['kb_per_vu']:>8.1f}{row['page_tables_kb_per_vu']:>15.1f}"
                + (f"  {verdict(row['kb_per_vu'], goal)}" if goal else "")
            )
    if "recorders" in results:
        print("\nWhat recorders add: CPU time per request of all threads, VUs on one of them (medians)")
        print(
            f"{'load':<10}{'recorders':<30}{'us/req':>7}{'theirs':>8}{'ratio':>7}{'req/s':>8}{'ratio':>7}"
            f"{'entries':>9}{'dropped':>9}"
        )
        for row in results["recorders"]:
            goal = GOALS.get(row["recorders"])
            print(
                f"{row['load']:<10}{row['recorders']:<30}{row['cpu_us_per_request']:>7.1f}"
                f"{row['recorders_us_per_request']:>8.2f}{row['ratio']:>7.2f}"
                f"{row['requests_per_s']:>8.0f}{row['rate_ratio']:>7.2f}"
                f"{row['entries_written']:>9.0f}{row['events_dropped']:>9.0f}"
                + (f"  {verdict(row['ratio'], goal)}" if goal else "")
            )
    if "arrivals" in results:
        print("\nHow late iterations start at a rate, on one core (ms; medians of the rounds)")
        print(
            f"{'rate':>8}{'median':>8}{'p99':>8}{'p99.9':>8}{'max':>8}{'p99 sent':>10}{'p99 due':>9}"
            f"{'dropped':>9}{'core':>6}{'asleep: median':>16}{'p99':>8}"
        )
        for row in results["arrivals"]:
            goal = GOALS["lag"] if row["rate"] == 10_000 else None
            print(
                f"{row['rate']:>6}/s{row['median_ms']:>8.3f}{row['p99_ms']:>8.3f}{row['p999_ms']:>8.3f}"
                f"{row['max_ms']:>8.2f}{row['sent_p99_ms']:>10.3f}{row['due_p99_ms']:>9.3f}"
                f"{row['dropped']:>9.0f}{row['cpu_percent'] / 100:>6.0%}"
                f"{row['sleeper_median_ms']:>16.3f}{row['sleeper_p99_ms']:>8.3f}"
                + (f"  {verdict(row['p99_ms'], goal)}" if goal else "")
            )
    if "start" in results:
        print("\nFrom the start of the process to the first byte of its first request, warm cache")
        print(f"{'client':<22}{'ms':>8}{'low-high':>16}")
        for row in results["start"]:
            spread = f"{row['lowest_ms']:.1f}-{row['highest_ms']:.1f}"
            goal = GOALS["start"] if row["what"] == "squall, 1 VU" else None
            print(
                f"{row['what']:<22}{row['median_ms']:>8.1f}{spread:>16}"
                + (f"  {verdict(row['median_ms'], goal)}" if goal else "")
            )
    if absent:
        print(f"\nNot installed, so not measured: {', '.join(absent)}")


def parse():
    parser = argparse.ArgumentParser(
        prog="benches/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=QUESTIONS, help="repeatable")
    parser.add_argument("--rounds", type=int, default=3, help="how many turns each client takes (3)")
    parser.add_argument("--window", type=float, default=3.0, help="seconds that are measured (3)")
    parser.add_argument("--warm-up", type=float, default=1.5, help="seconds before that (1.5)")
    parser.add_argument("--starts", type=int, default=15, help="how often the start is measured (15)")
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 1000])
    parser.add_argument("--vus", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--rates", type=int, nargs="+", default=[100, 1000, 5000, 10000])
    parser.add_argument("--json", type=Path, default=ROOT / "target/bench.json", help="where the figures go, too")
    parser.add_argument("--without-squall", action="store_true", help="measure the peers alone")
    return parser.parse_args()


def machine():
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if "model name" in line),
        "unknown",
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "load_before": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main():
    arguments = parse()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed, one for the server and one for the client")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {int(SERVER_CORE)})
    needed = [REQWEST] if arguments.without_squall else [REQWEST, SQUALL, HELLO, IDLE, VISITOR, MISRECORD]
    for file in needed:
        if not file.exists():
            raise SystemExit(f"`{file}` is not built: start `benches/run`, which builds it")

    results = {"machine": machine()}
    wanted = arguments.only or QUESTIONS
    with tempfile.TemporaryDirectory() as folder:
        nginx = Nginx(folder)
        try:
            if "cpu" in wanted:
                results["cpu"] = measure_cpu(arguments, nginx, folder)
            if "memory" in wanted:
                results["memory"] = measure_memory(arguments, nginx, folder)
            if "recorders" in wanted and not arguments.without_squall:
                results["recorders"] = measure_recorders(arguments, nginx, folder)
            if "arrivals" in wanted and not arguments.without_squall:
                results["arrivals"] = measure_arrivals(arguments, nginx, folder)
        finally:
            nginx.stop()
        if "start" in wanted:
            results["start"] = measure_start(arguments, folder)
    absent = clients(arguments)[1]
    results["machine"]["load_after"] = os.getloadavg()[0]
    show(results, absent)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    where = arguments.json.resolve()
    inside = where.relative_to(ROOT) if where.is_relative_to(ROOT) else where
    load = results["machine"]["load_before"]
    print(f"\nload before the run {load:.1f}; the figures as JSON: {inside}")
    if load > 1.0:
        print("The machine was busy: compare within the tables only, and run it again when it is quiet.")


if __name__ == "__main__":
    main()

"""Runs a Python package's own tests without the library, with everything above 64 B swapped, and
with the defaults, two at a time: suite.py FOLDER PYTEST-ARGUMENT... The same tests must have the
same outcomes. FOLDER gets the logs. (This file is also the pytest plugin that notes the outcomes.)"""
import collections, concurrent.futures, gc, os, random, re, subprocess, sys

RUNS = {
    "plain": {},
    "all": {"BIGMAAC_MIN_BIGMAAC_SIZE": "4K", "BIGMAAC_MIN_FRY_SIZE": "64", "BIGMAAC_MIN_MMAP_SIZE": "4K", "PYTHONMALLOC": "malloc"},
    "defaults": {},
}


def pytest_collection_finish(session):
    gc.collect()
    gc.freeze()  # or each gc.collect() of a test, of which numpy's have thousands, goes through all that pytest has collected


def pytest_runtest_setup(item):
    random.seed(1)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(1)


def pytest_runtest_logreport(report):
    """pytest calls this three times a test: setup, call, teardown."""
    if report.when == "call" or not report.passed:
        name = re.sub(r"0x[0-9a-f]+", "ADDRESS", report.nodeid)
        outcome = report.outcome + (" as expected" if hasattr(report, "wasxfail") else "")
        with open(os.environ["OUTCOMES"], "a") as file:
            file.write(f"{outcome} at {report.when}: {name!r}\n")


def run(name, folder, arguments):
    """Returns pytest's exit status."""
    own = f"{folder}/{name}"
    os.mkdir(own)
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(__file__), PYTHONDONTWRITEBYTECODE="1",
                       OUTCOMES=f"{folder}/{name}.outcomes", OPENBLAS_NUM_THREADS="1", TMPDIR=own,
                       NPY_AVAILABLE_MEM="1 GB", **RUNS[name])  # or what is skipped depends on the memory free
    if name != "plain":
        environment.update(LD_PRELOAD=os.environ["LIB"], BIGMAAC_STATS="1", BIGMAAC_STRICT="1")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "suite", "-p", "no:cacheprovider", "--tb=short",
               "--hypothesis-seed=1", *arguments]
    with open(f"{folder}/{name}.log", "w") as log:
        return subprocess.run(command, cwd=own, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                              stderr=log).returncode


def outcomes(name, folder):
    if not os.path.exists(f"{folder}/{name}.outcomes"):
        return collections.Counter()  # it ended before the first test
    with open(f"{folder}/{name}.outcomes") as file:
        return collections.Counter(file)


def summary(name, folder):
    with open(f"{folder}/{name}.log") as file:
        return "".join(file.readlines()[-30:])


def main(folder, *arguments):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        status = dict(zip(RUNS, pool.map(lambda name: run(name, folder, arguments), RUNS)))
    plain = outcomes("plain", folder)
    print(f"{sum(plain.values())} outcomes, statuses {status}")
    good = status["plain"] in (0, 1) and sum(plain.values()) > 500
    if not good:
        print("without the library:", summary("plain", folder))
    for name in ("all", "defaults"):
        with_library = outcomes(name, folder)
        for line in list((plain - with_library).keys())[:10]:
            print("only without the library:", line, end="")
        for line in list((with_library - plain).keys())[:10]:
            print(f"only with it ({name}):", line, end="")
        if plain != with_library or status[name] != status["plain"]:
            good = False
            print(f"{name}:", summary(name, folder))
    swapped = re.findall(r"\bfries=(\d+)", open(f"{folder}/all.log").read())
    if max(map(int, swapped), default=0) < 100000:
        good = False
        print("hardly anything was swapped:", swapped)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])

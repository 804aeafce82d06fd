#!/usr/bin/env python3
"""every_step.py PRELOAD PROGRAM [ARGUMENT...]: each call of a program fails once, in each way that it can.

Runs the program in a temporary folder where "source" is a file of odd size and "block" one of 4096 bytes. "source" is
also its standard input. The program must end by itself: with 0 if its result is right, else with another status and a
message on its standard error. PRELOAD is preload.cpp, which counts the calls and makes them fail. If there is no time
for all calls, the script chooses some.
"""
import concurrent.futures
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

MOST = 40  # calls of a kind
SECONDS = 10  # for all runs together, if each takes as long as the first
preload, program = (str(pathlib.Path(name).resolve()) for name in sys.argv[1:3])  # they run elsewhere
arguments = sys.argv[3:]
# So a queue ends a program, as its documentation has it, if a failure would be lost.
documented = re.compile(r'^asioq: a failure was not reported: ', re.M)


def run(folder, **variables):
    environment = os.environ | {'LD_PRELOAD': preload} | variables
    with open(pathlib.Path(folder) / 'source', 'rb') as source:
        return subprocess.run([program, *arguments], cwd=folder, env=environment, stdin=source, capture_output=True,
                              text=True, errors='replace', timeout=60, check=False)


def make_folder(folder):
    data = random.Random(1).randbytes(150_003)
    (folder / 'source').write_bytes(data)
    (folder / 'block').write_bytes(data[:4096])


def results_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in ('source', 'block')}


def wrong_with(name, number, answer):
    """What is wrong after that failure; nothing if all is well."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        make_folder(folder)
        try:
            ended = run(folder, ASIOQ_FAILING=f'{name} {number} {answer}')
        except subprocess.TimeoutExpired:
            return 'it did not end'
        if ended.returncode < 0 and not documented.search(ended.stderr):
            return f'signal {-ended.returncode}, and: {ended.stderr}'
        if ended.returncode > 0 and not ended.stderr:
            return f'status {ended.returncode} without a message'
        if ended.returncode == 0:
            made = results_in(folder)
            if made != expected:
                different = [name for name in made | expected if made.get(name) != expected.get(name)]
                return f'it says that all is well, but {different} are not as they are without a failure'
    return None


def chosen(all_of_them, most):
    """At most so many of them, in equal distances."""
    if len(all_of_them) <= most:
        return all_of_them
    return [all_of_them[round(i * (len(all_of_them) - 1) / (most - 1))] for i in range(most)]


with tempfile.TemporaryDirectory() as place:
    make_folder(pathlib.Path(place))
    counts = pathlib.Path(place).with_suffix('.counts')
    begin = time.monotonic()
    clean = run(place, ASIOQ_COUNTING=str(counts))
    time_of_one = time.monotonic() - begin
    if clean.returncode != 0:
        sys.exit(f'without a failure: status {clean.returncode}, {clean.stderr}')
    lines = [line.split() for line in counts.read_text().splitlines()]
    counts.unlink()
    expected = results_in(pathlib.Path(place))
    for copy, contents in expected.items():
        source = copy.removesuffix('.copy') if copy.endswith('.copy') else arguments[-2] if copy == 'copy' else None
        if source and contents != (pathlib.Path(place) / source).read_bytes():
            sys.exit(f'without a failure: {copy} differs from {source}')

trials = [(name, number, answer) for name, count, *answers in lines
          for number in chosen(range(1, int(count) + 1), MOST) for answer in answers]
count_of_all = len(trials)
trials = chosen(trials, max(MOST, int(SECONDS / time_of_one)))
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    answers = pool.map(lambda trial: wrong_with(*trial), trials)
    wrong = [f'{name} {number} answers {answer}: {what}'
             for (name, number, answer), what in zip(trials, answers) if what]
print(f'{len(trials)} failures of {count_of_all}')
if wrong:
    sys.exit('\n'.join(wrong))

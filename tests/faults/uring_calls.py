#!/usr/bin/env python3
"""uring_calls.py STRACE PROGRAM: each system call about a ring fails once, in each way that it can, by strace.

PROGRAM is uring_run.cpp. Ends with 77, which is "skipped", where strace may not do that or there is no io_uring.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

ANSWERS = {
    'io_uring_setup': ['error=ENOMEM', 'error=EMFILE', 'error=EPERM'],
    'io_uring_register': ['error=EINVAL', 'error=ENOMEM'],
    'io_uring_enter': ['error=EAGAIN', 'error=EBUSY', 'error=EINTR', 'error=ENOMEM', 'error=EPERM', 'retval=0'],
    'mmap': ['error=ENOMEM'],
}
strace, program = sys.argv[1:]


def run(manner, inject=None):
    """The ended process, and the lines of its system calls."""
    with tempfile.NamedTemporaryFile(mode='r') as log:
        command = [strace, '-f', '-qq', '--seccomp-bpf', '-o', log.name, '-e', 'trace=' + ','.join(ANSWERS)]
        if inject:
            command += ['-e', 'inject=' + inject]
        ended = subprocess.run([*command, program, *manner], capture_output=True, text=True, timeout=20, check=False)
        return ended, log.read().splitlines()


def numbers_of(name, lines):
    """Which calls of this name are about the ring, counted from 1."""
    calls = [line for line in lines if re.search(rf'\b{name}\(', line)]
    return [i for i, line in enumerate(calls, 1) if name != 'mmap' or 'MAP_POPULATE' in line]


def trials_in(manner):
    ended, lines = run(manner)
    if ended.returncode != 0:
        sys.exit(f'{manner}, without a failure: {ended.stderr}')
    for name, answers in ANSWERS.items():
        for number in numbers_of(name, lines):
            for answer in answers:
                yield manner, f'{name}:{answer}:when={number}'


def wrong_with(trial):
    manner, inject = trial
    try:
        ended, lines = run(manner, inject)
    except subprocess.TimeoutExpired:
        return f'{manner}, {inject}: it did not end'
    if ended.returncode != 0:
        return f'{manner}, {inject}: status {ended.returncode}, {ended.stderr}'
    return None


probe, seen = run(['uring', 'strict', '0'], 'io_uring_setup:error=EPERM:when=1')
if not any('INJECTED' in line for line in seen):
    print('skipped: strace cannot let system calls fail here, or there is no io_uring')
    sys.exit(77)

manners = [[host, order, way] for host in ('uring', 'uring_or_pool') for order in ('strict', 'as_if_serial')
           for way in (('0', '1', '2', '4') if host == 'uring' else '0')]
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    trials = [trial for manner in manners for trial in trials_in(manner)]
    wrong = [what for what in pool.map(wrong_with, trials) if what]
print(f'{len(trials)} failures')
if wrong:
    sys.exit('\n'.join(wrong))

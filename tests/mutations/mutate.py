#!/usr/bin/env python3
"""mutate.py HEADER OLD NEW SOURCE LIBRARY INCLUDE COMPILER...: whether the programs in LIBRARY notice a mistake.

Copies the folder INCLUDE, puts the text NEW in the place of OLD, which must be in HEADER exactly once, compiles SOURCE
with the copy, links it with LIBRARY and runs it. That must fail, or never end; that it compiles is needed, too.

If LIBRARY is a program, SOURCE becomes a module that the program loads: $ASIOQ_MODULE_ON_TRIAL has its path.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

header, old, new, source, library, include, *compiler = sys.argv[1:]

with tempfile.TemporaryDirectory() as folder:
    copy = pathlib.Path(folder) / 'include'
    shutil.copytree(include, copy)
    mutated = copy / header
    text = mutated.read_text()
    if text.count(old) != 1:
        sys.exit(f'{header} has changed: "{old}" is there {text.count(old)} times, not once. Mend the mutation.')
    mutated.write_text(text.replace(old, new))

    program = f'{folder}/program'
    is_module = not library.endswith('.a')
    command = [*compiler, '-I', copy, source, *(['-shared', '-fPIC'] if is_module else [library]), '-o', program]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit('The mutation does not compile.')
    try:
        to_run = library if is_module else program
        environment = {**os.environ, 'ASIOQ_MODULE_ON_TRIAL': program}
        status = subprocess.run([to_run], check=False, timeout=30, env=environment).returncode
    except subprocess.TimeoutExpired:
        print('It never ended.')
        status = 1
    if status == 0:
        sys.exit('The mistake was not noticed.')
    print(f'Noticed, with status {status}.')

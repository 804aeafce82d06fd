#!/usr/bin/env python3
"""mutate.py HEADER OLD NEW SOURCE LIBRARY INCLUDE COMPILER...: whether the programs in LIBRARY notice a mistake.

Copies the folder INCLUDE, puts the text NEW in the place of OLD, which must be in HEADER exactly once, compiles SOURCE
with the copy, links it with LIBRARY and runs it. That must fail, or never end; that it compiles is needed, too.
"""

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
    command = [*compiler, '-I', copy, source, library, '-o', program]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit('The mutation does not compile.')
    try:
        status = subprocess.run([program], check=False, timeout=30).returncode
    except subprocess.TimeoutExpired:
        print('It never ended.')
        status = 1
    if status == 0:
        sys.exit('The mistake was not noticed.')
    print(f'Noticed, with status {status}.')

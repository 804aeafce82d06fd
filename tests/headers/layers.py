#!/usr/bin/env python3
"""layers.py FOLDER HEADER...: a header includes only from its own layer and lower ones, and never in a circle."""
import graphlib
import pathlib
import re
import sys

# The lowest first: the headers asioq/NAME.hpp, and with a slash at the end all headers in asioq/NAME/.
layers = [
    'version asio_op options error task completion file_offset io_operation file_facts operation',
    'executor io_executor inline_executor fwd huge_page_resource',
    'detail/support/',
    'detail/request/',
    'detail/transfer/',
    'detail/order/',
    'detail/dispatch/',
    'thread_pool default_executor uring',
    'request async_submit',
    'detail/queue/',
    'queue',
    'file',
    'detail/stream/',
    'reader writer stream_buffer',
    'testing/disk_options testing/latency_model testing/detail/',
    'testing/',
    'asioq',
]

level = {name: i for i, layer in enumerate(layers) for name in layer.split()}
folder, *headers = sys.argv[1:]
includes = {}
for name in (header.removeprefix('asioq/').removesuffix('.hpp') for header in headers):
    text = pathlib.Path(folder, 'asioq', name + '.hpp').read_text(encoding='utf-8')
    includes[name] = re.findall(r'^\s*#\s*include\s*[<"]asioq/(.+)\.hpp[>"]', text, re.M)


def level_of(name):
    place = name if name in level else name.rpartition('/')[0] + '/'
    return level[place] if place in level else sys.exit(f'{name}: layers.py has no layer for it')


wrong = {(name, its) for name in includes for its in [name, *includes[name]] if level_of(its) > level_of(name)}
for name, its in sorted(wrong):
    print(f'{name} must not include {its}, which is in a higher layer')
try:
    graphlib.TopologicalSorter(includes).prepare()
except graphlib.CycleError as error:
    sys.exit('a circle: ' + ' <- '.join(error.args[1]))
sys.exit(bool(wrong))

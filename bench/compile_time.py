#!/usr/bin/env python3
"""Measures how long programs take to compile, and how much code they become: compile_time.py RESULT.json

Seconds are the compiler's CPU time at -O2, the median of three; bytes are the object file's code at -Os, of echo servers
all that is theirs.
"""
import json
import os
import resource
import statistics
import subprocess
import sys

PROGRAMS = [
    # name, source, standard, what we want over the empty file: reach and stretch
    ('empty', 'bench/compile_time/empty.cpp', 'c++20', None),
    ('wscodec, included', 'bench/compile_time/included.cpp', 'c++20', (0.35, 0.2)),
    ('wscodec, a connection', 'bench/compile_time/connection.cpp', 'c++20', (1.0, 0.6)),
    ('wscodec, a session too', 'bench/compile_time/session.cpp', 'c++20', (1.5, 0.9)),
    ('wscodec, echo server', 'tests/examples/hello.cpp', 'c++20', None),
    ('Beast, echo server', 'bench/compile_time/beast.cpp', 'c++20', None),
    ('websocketpp, echo server', 'bench/compile_time/websocketpp.cpp', 'c++17', None),
]


def compile_once(source, standard, level, to):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(['g++', f'-std={standard}', level, '-DNDEBUG', '-Iinclude', '-c', source, '-o', to], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(result):
    measured = []
    to = result + '.o'
    for name, source, standard, want in PROGRAMS:
        seconds = statistics.median([compile_once(source, standard, '-O2', to) for _ in range(3)])
        compile_once(source, standard, '-Os', to)
        code = int(subprocess.run(['size', to], check=True, capture_output=True, text=True).stdout.splitlines()[1].split()[0])
        row = {'name': name, 'seconds': seconds, 'code': code}
        if want:
            row['reach'], row['stretch'] = want
        measured.append(row)
    os.remove(to)
    with open(result, 'w', encoding='utf-8') as file:
        json.dump(measured, file, indent=1)


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

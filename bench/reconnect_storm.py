#!/usr/bin/env python3
"""Simulates 10,000 clients after a server's restart (reconnect_storm.cpp), prints a table and draws the arrivals.

    bench/reconnect_storm.py [--save]      the plot goes to build/bench/results, with --save to bench/results too
"""
import json
import math
import pathlib
import subprocess
import sys

from report import svg, table, text

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLOURS = ['#d1495b', '#edae49', '#1b6ca8']
SECONDS = 20  # of the plot


def plot(ways):
    width, height, left, right, bottom, top = 860, 380, 70, 20, 40, 70
    high = max(way['peak_per_second'] for way in ways)
    px = lambda second: left + (width - left - right) * second / SECONDS
    py = lambda rate: height - bottom - (height - bottom - top) * max(math.log10(max(rate, 1) / 10), 0) / math.log10(high / 10)
    parts = [text(8, 18, 'connection attempts a second, 10,000 clients after a restart of 2 s (logarithmic)')]
    rate = 10
    while rate <= high:
        parts.append(f'<line x1="{left}" y1="{py(rate):.1f}" x2="{width - right}" y2="{py(rate):.1f}" stroke="#999" stroke-opacity="0.35"/>')
        parts.append(text(left - 6, py(rate) + 4, f'{rate:,}', 'end'))
        rate *= 10
    for second in range(0, SECONDS + 1, 2):
        parts.append(text(px(second), height - bottom + 18, f'{second} s', 'middle'))
    for i, way in enumerate(ways):
        arrivals = (way['arrivals'] + [0] * 10 * SECONDS)[:10 * SECONDS]
        points = []  # a step for each tenth of a second
        for k, n in enumerate(arrivals):
            points += [f'{px(k / 10):.1f},{py(10 * n):.1f}', f'{px((k + 1) / 10):.1f},{py(10 * n):.1f}']
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{COLOURS[i]}" stroke-width="1.5"/>')
        parts.append(f'<rect x="{left + 250 * i}" y="34" width="10" height="10" fill="{COLOURS[i]}"/>' + text(left + 16 + 250 * i, 44, way['name']))
    return svg(width, height, parts)


def main():
    if sys.argv[1:] not in ([], ['--save']):
        sys.exit(__doc__)
    results = ROOT / 'build' / 'bench' / 'results'
    results.mkdir(parents=True, exist_ok=True)
    program = results.parent / 'reconnect_storm'
    subprocess.run(['c++', '-std=c++20', '-O2', '-I', str(ROOT / 'include'), str(ROOT / 'bench' / 'reconnect_storm.cpp'), '-o', str(program)], check=True)
    ways = [json.loads(line) for line in subprocess.run([str(program)], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()]
    rows = [[way['name'], f"{way['peak_per_second']:,}", f"{way['attempts_per_client']:.1f}", f"{way['half_back_after']:.0f} s", f"{way['all_back_after']:.0f} s"] for way in ways]
    print('\n'.join(table(['10,000 clients, 1,000 handshakes a second', 'peak, attempts a second', 'attempts a client', 'half are back', 'all are back'], rows)))
    for folder in [results] + [ROOT / 'bench' / 'results'] * (len(sys.argv) > 1):
        (folder / 'reconnect_storm.svg').write_text(plot(ways), encoding='utf-8')


if __name__ == '__main__':
    main()

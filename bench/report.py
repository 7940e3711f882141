#!/usr/bin/env python3
"""Makes tables (markdown) and plots (SVG) of what the benchmark measured.

    report.py FOLDER        reads FOLDER/*.run*.json (one file a run and flavour) and FOLDER/compile.json,
                            writes FOLDER/{results.json,tables.md,*.svg}, prints the tables

A time is the median of its repetitions; a multiple is the median of the multiples of the single repetitions, since only
times taken side by side compare well on a shared machine. Of several runs the median is taken again.
"""
import glob
import json
import math
import os
import re
import statistics
import sys


def median_of_runs(runs):
    """One row out of the same row of several runs."""
    row = {key: runs[0][key] for key in runs[0] if key != 'entries'}
    if 'bytes' in row:
        row['bytes'] = statistics.median(run['bytes'] for run in runs)
    if 'entries' not in runs[0]:
        return row
    row['entries'] = []
    for i, first in enumerate(runs[0]['entries']):
        every = [run['entries'][i]['ns'] for run in runs]
        row['entries'].append({
            'name': first['name'], 'ours': first['ours'], 'allocations': first['allocations'],
            'ns': statistics.median(statistics.median(ns) for ns in every) / row['units'],
            'multiple': statistics.median(multiple(run, first['name'], runs[0]['entries'][0]['name']) for run in runs)})
    for target in row['targets']:
        if target['kind'] == 'nanoseconds':
            target['value'] = next(e['ns'] for e in row['entries'] if e['name'] == target['entry'])
        else:
            values = [multiple(run, target['entry'], target['against']) for run in runs]
            target['value'] = statistics.median(1 / v if target['kind'] == 'times_faster' else v for v in values)
        more = target['kind'] == 'times_faster'
        target['met'] = target['value'] >= target['reach'] if more else rounded(target['value']) <= target['reach']
        target['stretch_met'] = target['value'] >= target['stretch'] if more else rounded(target['value']) <= target['stretch']
    return row


def rounded(value):
    return round(value, 2)


def multiple(row, name, against):
    times = {entry['name']: entry['ns'] for entry in row['entries']}
    return statistics.median(a / b for a, b in zip(times[name], times[against]))


def read(folder):
    """{flavour: [row]} of all runs in the folder."""
    files = {}
    for path in sorted(glob.glob(os.path.join(folder, '*.run*.json'))):
        with open(path, encoding='utf-8') as file:
            files.setdefault(os.path.basename(path).split('.')[0], []).append(json.load(file))
    return {flavour: [median_of_runs(list(same)) for same in zip(*runs)] for flavour, runs in files.items()}


def number(value):
    if value >= 100:
        return f'{value:.0f}'
    return f'{value:.1f}' if value >= 10 else f'{value:.2f}'


def table(head, rows):
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    return lines + ['| ' + ' | '.join(row) + ' |' for row in rows]


def groups(rows):
    result = {}
    for row in rows:
        result.setdefault(row['group'], []).append(row)
    return result


def verdict(target):
    if target['stretch_met']:
        return 'met, stretch too'
    return 'met' if target['met'] else f"missed by {100 * abs(target['value'] / target['reach'] - 1):.0f} %"


def target_table(by_flavour):
    rows = []
    for flavour, all_rows in by_flavour.items():
        for row in all_rows:
            for t in row.get('targets', []):
                what = {'multiple': '× ' + t['against'], 'times_faster': 'times as fast as ' + t['against'], 'nanoseconds': 'ns'}
                rows.append([row['group'] + ', ' + row['name'], flavour, t['entry'], number(t['value']), what[t['kind']],
                             f"{t['reach']:g}", f"{t['stretch']:g}", verdict(t)])
    return table(['row', 'flavour', 'who', 'seen', 'unit', 'reach', 'stretch', ''], rows)


def peer_table(by_flavour):
    """Where somebody else is faster than the best of ours that does the same."""
    rows = []
    for flavour, all_rows in by_flavour.items():
        for row in all_rows:
            entries = row.get('entries', [])
            ours = [e for e in entries if e['ours'] and 'head only' not in e['name']]
            peers = [e for e in entries if not e['ours'] and not e['name'].startswith(('limit', 'copy'))]
            for e in peers:
                best = min(ours, key=lambda o: o['ns'])
                if best['ns'] > 1.03 * e['ns']:
                    rows.append([row['group'] + ', ' + row['name'], flavour, e['name'], number(e['multiple']), best['name'], number(best['multiple'])])
    return table(['row', 'flavour', 'peer', '×', 'our best', '×'], rows) if rows else ['No peer is more than 3 % faster in any row.']


def multiples_table(rows):
    """A table for each group of rows whose first entry is a limit: ours and the peers as multiples of it."""
    lines = []
    for group, members in groups(rows).items():
        if 'entries' not in members[0] or group.startswith('growth') or not members[0]['entries'][0]['name'].startswith('limit'):
            continue
        names = []
        for row in members:
            names += [e['name'] for e in row['entries'] if e['name'] not in names]
        head = [group] + [row['name'] for row in members]
        body = []
        for name in names:
            cells = []
            for row in members:
                found = [e for e in row['entries'] if e['name'] == name]
                if not found:
                    cells.append('')
                elif name.startswith('limit'):
                    cells.append(number(found[0]['ns']) + ' ns')
                else:
                    cells.append(number(found[0]['multiple']))
            body.append([name] + cells)
        lines += table(head, body) + ['']
    return lines


def handshake_table(rows):
    members = groups(rows).get('opening handshake', [])
    if not members:
        return []
    return table(['opening handshake, request of 626 B', 'ns'], [[e['name'], number(e['ns'])] for e in members[0]['entries']]) + ['']


def broadcast_table(rows):
    members = groups(rows).get('broadcast to 10,000 sessions', [])
    if not members:
        return []
    head = ['broadcast to 10,000 sessions, ns a receiver'] + [row['name'] for row in members]
    body = [[e['name']] + [number(row['entries'][i]['ns']) for row in members] for i, e in enumerate(members[0]['entries'])]
    return table(head, body) + ['']


def allocation_table(rows):
    seen = {}
    for row in rows:
        for e in row.get('entries', []):
            if not e['name'].startswith(('limit', 'copy')) and not row['group'].startswith(('growth', 'opening', 'broadcast')):
                seen.setdefault(e['name'], []).append(e['allocations'])
    if not seen:
        return []
    return table(['allocations a message, steady state', 'least', 'most'],
                 [[name, f'{min(v):g}', f'{max(v):g}'] for name, v in seen.items()]) + ['']


def idle_table(rows):
    members = groups(rows).get('idle connection', [])
    body = [[r['name'], str(r['object']) if r['object'] else 'in the heap', str(r['heap']), str(r['object'] + r['heap'])] for r in members]
    return table(['bytes of an open, idle connection', 'object', 'heap', 'together'], body) + [''] if members else []


def growth_tables(rows):
    lines = []
    sizes = {r['name']: r['bytes'] for r in groups(rows).get('bytes of each of many sessions', [])}
    for group, members in groups(rows).items():
        if not group.startswith('growth'):
            continue
        names = [e['name'] for e in members[0]['entries']]
        unit = members[0]['unit']
        per_byte = group.startswith(('growth: payload', 'growth: request'))
        head = [group.removeprefix('growth: ')] + [f"{n}, ns a {'byte' if per_byte else unit}" for n in names]
        body = []
        for row in members:
            cells = [f"{e['ns'] / row['at']:.3f}" if per_byte else number(e['ns']) for e in row['entries']]
            body.append([row['name']] + cells)
        if group == 'growth: sessions in a process':
            head.append('bytes each')
            for line in body:
                line.append(number(sizes[line[0]]))
        lines += table(head, body) + ['']
    return lines


def compile_table(compiled):
    if not compiled:
        return []
    base = compiled[0]['seconds']
    body = [[c['name'], f"{c['seconds']:.2f}", f"+{c['seconds'] - base:.2f}", str(c['code']),
             f"+{c['reach']:g}" if 'reach' in c else '',
             '' if 'reach' not in c else 'met' if c['seconds'] - base <= c['reach'] else 'missed'] for c in compiled]
    return table(['compile time, g++ -O2', 's', 'over empty', 'code, bytes', 'reach', ''], body) + ['']


# ---- plots ----

COLOURS = {'connection': '#1b6ca8', 'connection, reads of 4 KiB': '#3d85bd', 'session': '#5fa8d3', 'session, prepare': '#9ccbe8', 'Beast': '#d1495b', 'websocketpp': '#edae49',
           'wslay, frames': '#8d96a3', 'wslay, events': '#66717e'}
TEXT = 'font-family="sans-serif" font-size="12" fill="#777"'


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n' +
            '\n'.join(parts) + '\n</svg>\n')


def text(x, y, what, anchor='start'):
    safe = what.replace('&', '&amp;').replace('<', '&lt;')
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {TEXT}>{safe}</text>'


def bars(title, rows, unit, colours=None):
    """Horizontal bars on a log scale: rows of (group, name, value); a group's label stands once."""
    left, right, line, top = 270, 90, 17, 34
    width = 860
    values = [value for _, _, value in rows]
    low = 10 ** math.floor(math.log10(min(values)))
    if min(values) / low >= 5:
        low *= 5
    high = max(values)
    scale = (width - left - right) / max(math.log(high / low), 0.1)
    parts = [text(8, 18, title)]
    y, previous = top, None
    body = []
    for group, name, value in rows:
        if previous is not None and group != previous:
            y += 8
        if group != previous and group:
            body.append(text(8, y + 12, group))
        previous = group
        length = max(scale * math.log(value / low), 1)
        colour = (colours or COLOURS).get(name, '#1b6ca8')
        body.append(text(left - 6, y + 12, name, 'end'))
        body.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{line - 4}" fill="{colour}"/>')
        body.append(text(left + length + 5, y + 12, number(value) + unit))
        y += line
    tick = low
    while tick <= high:
        x = left + scale * math.log(tick / low)
        parts.append(f'<line x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{y}" stroke="#999" stroke-opacity="0.35"/>')
        tick *= 10
    return svg(width, y + 10, parts + body)


def plots(folder, by_flavour, compiled):
    def write(name, content):
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
            file.write(content)

    for flavour, rows in by_flavour.items():
        for group, members in groups(rows).items():
            if 'entries' not in members[0] or not members[0]['entries'][0]['name'].startswith('limit') or group.startswith('growth'):
                continue
            data = [(row['name'], e['name'], e['multiple']) for row in members for e in row['entries'] if e['name'] in COLOURS]
            name = re.sub('[^a-z0-9]+', '_', group.lower())
            write(f'{name}.{flavour}.svg', bars(f'{group}: multiples of the limit, less is better ({flavour})', data, ' ×'))
    rows = next(iter(by_flavour.values()), [])
    idle = groups(rows).get('idle connection')
    if idle:
        mine = {r['name']: '#1b6ca8' if r['name'].startswith('wscodec') else '#d1495b' for r in idle}
        write('idle_memory.svg', bars('bytes of an open, idle connection', [('', r['name'], r['object'] + r['heap']) for r in idle], ' B', mine))
    if compiled:
        mine = {c['name']: '#1b6ca8' if 'wscodec' in c['name'] else '#d1495b' for c in compiled}
        write('compile_time.svg', bars('seconds to compile, g++ -O2', [('', c['name'], c['seconds']) for c in compiled], ' s', mine))
    for group, members in groups(rows).items():
        if group.startswith('growth'):
            name = re.sub('[^a-z0-9]+', '_', group.removeprefix('growth: '))
            write(f'growth_{name}.svg', curves(group, members))


def short(n):
    """1000 and 1024 are both a k here: labels of an axis."""
    for thousand in (1024, 1000):
        for unit, name in ((thousand ** 2, ' M'), (thousand, ' k')):
            if n >= unit and n % unit == 0:
                return f'{n // unit:.0f}{name}'
    return f'{n:g}'


def curves(title, members):
    """Time of the whole against its size, both on a log scale: straight is a power, the slope of the grid is linear."""
    width, height, left, bottom, top = 620, 380, 70, 40, 34
    whole = not members[0]['group'].startswith('growth: sessions')
    factor = (lambda row: row['at']) if members[0]['unit'] == 'fragment' else (lambda row: 1)
    series = {e['name']: [(row['at'], next(x['ns'] for x in row['entries'] if x['name'] == e['name']) * (factor(row) if whole else 1))
                          for row in members] for e in members[0]['entries']}
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x0, x1, y0, y1 = min(xs), max(max(xs), min(xs) * 2), min(ys), max(max(ys), min(ys) * 10)
    px = lambda x: left + (width - left - 130) * math.log(x / x0) / math.log(x1 / x0)
    py = lambda y: height - bottom - (height - bottom - top) * math.log(y / y0) / math.log(y1 / y0)
    parts = [text(8, 18, f"{title}: ns a {'message' if whole else 'message to one at random'}, both axes logarithmic")]
    for x in sorted(set(xs)):
        parts.append(text(px(x), height - bottom + 18, short(x), 'middle'))
    tick = 10 ** math.ceil(math.log10(y0))
    while tick <= y1:
        parts.append(f'<line x1="{left}" y1="{py(tick):.1f}" x2="{width - 130}" y2="{py(tick):.1f}" stroke="#999" stroke-opacity="0.35"/>')
        parts.append(text(left - 6, py(tick) + 4, f'{tick:g}', 'end'))
        tick *= 10
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS.get(name, '#999')
        line = ' '.join(f'{px(x):.1f},{py(y):.1f}' for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{width - 122}" y="{top + 18 * i}" width="10" height="10" fill="{colour}"/>' + text(width - 106, top + 10 + 18 * i, name))
    return svg(width, height, parts)


def main(folder):
    by_flavour = read(folder)
    compiled = []
    path = os.path.join(folder, 'compile.json')
    if os.path.exists(path):
        with open(path, encoding='utf-8') as file:
            compiled = json.load(file)
    machine = ''
    path = os.path.join(folder, 'machine')
    if os.path.exists(path):
        with open(path, encoding='utf-8') as file:
            machine = file.read().strip()
    lines = [machine, '', '## What we want', ''] + target_table(by_flavour) + ['', '## Where a peer is faster', ''] + peer_table(by_flavour)
    for flavour, rows in by_flavour.items():
        lines += ['', f'## {flavour}: multiples of the limit', ''] + multiples_table(rows) + handshake_table(rows) + broadcast_table(rows)
    rows = next(iter(by_flavour.values()), [])
    lines += ['## Memory', ''] + idle_table(rows) + allocation_table(rows)
    lines += ['## How cost grows', ''] + growth_tables(rows)
    lines += ['## Compile time and code', ''] + compile_table(compiled)
    with open(os.path.join(folder, 'tables.md'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')
    with open(os.path.join(folder, 'results.json'), 'w', encoding='utf-8') as file:
        json.dump({'machine': machine, 'rows': by_flavour, 'compiled': compiled}, file, indent=1)
    plots(folder, by_flavour, compiled)
    print('\n'.join(lines))


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

'use strict';
(() => {
  const D = JSON.parse(document.getElementById('log').textContent);
  const chart = document.getElementById('chart'), tip = document.getElementById('tip');
  const root = document.documentElement;
  if (location.hash === '#dark' || location.hash === '#light') root.dataset.theme = location.hash.slice(1);
  document.getElementById('theme').onclick = () => {
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
  };
  const LEFT = 74, RIGHT = 18, TOP = 46, LANE = 74, BOTTOM = 30, BAND = 18, BARS = 34;
  const axis = D.axis, origin = BigInt(D.origin_ns);
  let zoom = 1, pan = 0, width = 0;

  // Time to its place on the whole axis, 0 to 1, and back.
  const place = t => {
    let low = 0, high = axis.length - 1;
    while (low < high) { const mid = (low + high) >> 1; if (axis[mid].t1 < t) low = mid + 1; else high = mid; }
    const p = axis[low]; if (!p) return 0.5;
    const span = p.t1 - p.t0;
    return span > 0 ? p.x0 + (p.x1 - p.x0) * Math.min(1, Math.max(0, (t - p.t0) / span)) : (p.x0 + p.x1) / 2;
  };
  const inner = () => Math.max(50, width - LEFT - RIGHT);
  const X = t => LEFT + (place(t) - pan) * zoom * inner();
  const escape = text => String(text).replace(/[&<>"']/g, c => '&#' + c.charCodeAt(0) + ';');
  const count = n => String(n).replace(/\B(?=(\d{3})+$)/g, ' ');
  const bytes = n => { let u = 0; while (n >= 1024 && u < 4) { n /= 1024; u++; } return (u ? n.toFixed(1) : n) + ' ' + ['B', 'KiB', 'MiB', 'GiB', 'TiB'][u]; };
  const span = us => us < 1000 ? us.toFixed(us < 10 ? 1 : 0) + ' us' : us < 1e6 ? (us / 1e3).toFixed(1) + ' ms' : us < 12e7 ? (us / 1e6).toFixed(1) + ' s'
    : us < 72e8 ? (us / 6e7).toFixed(0) + ' min' : us < 1728e8 ? (us / 36e8).toFixed(1) + ' h' : (us / 864e8).toFixed(1) + ' days';
  const clock = (t, step) => {
    const ns = origin + BigInt(Math.round(t * 1000)), ms = Number(ns / 1000000n), rest = Number(ns % 1000000n);
    const iso = new Date(ms).toISOString();
    if (step >= 864e8) return iso.slice(0, 10);
    if (step >= 6e7) return iso.slice(11, 16);
    if (step >= 1e6) return iso.slice(11, 19);
    if (step >= 1e3) return iso.slice(11, 23);
    return iso.slice(17, 23) + String(rest).padStart(6, '0').slice(0, 3);
  };
  const STEPS = []; for (const unit of [1, 10, 100, 1e3, 1e4, 1e5]) for (const k of [1, 2, 5]) STEPS.push(unit * k);
  STEPS.push(1e6, 2e6, 5e6, 1e7, 3e7, 6e7, 12e7, 3e8, 6e8, 18e8, 36e8, 72e8, 216e8, 864e8, 1728e8, 864e9);

  const largest = Math.max(1, ...D.lanes.map(l => l.blocks.reduce((m, b) => Math.max(m, b.bytes / b.frames), 0)));
  const tall = b => 7 + (BARS - 7) * Math.log2(1 + b.bytes / b.frames) / Math.log2(1 + largest);

  function draw() {
    width = chart.clientWidth;
    const bottom = TOP + D.lanes.length * LANE, height = bottom + BOTTOM, end = width - RIGHT;
    const out = [];
    out.push(`<svg viewBox="0 0 ${width} ${height}" height="${height}" role="img" aria-label="cores as lanes over time">`);
    out.push(`<defs><clipPath id="c"><rect x="${LEFT - 8}" y="0" width="${inner() + 12}" height="${height}"/></clipPath>`);
    out.push('<pattern id="h" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="var(--bad-bg)"/><rect width="2.5" height="7" fill="var(--bad)" opacity=".55"/></pattern>');
    out.push('<pattern id="i" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="1" height="5" fill="var(--line)"/></pattern></defs>');
    // Lanes: their names, and a band for the segments.
    D.lanes.forEach((lane, n) => {
      const y = TOP + n * LANE, entries = lane.blocks.reduce((s, b) => s + b.entries, 0);
      out.push(`<text class="name" x="0" y="${y + 38}">core ${lane.core}</text><text class="small" x="0" y="${y + 53}">${count(entries)}</text>`);
      out.push(`<line x1="${LEFT}" x2="${end}" y1="${y + LANE - 8}" y2="${y + LANE - 8}" stroke="var(--line)"/>`);
    });
    out.push('<g clip-path="url(#c)">');
    // Idle stretches, squeezed.
    for (const p of axis) if (p.idle) {
      const x0 = LEFT + (p.x0 - pan) * zoom * inner(), x1 = LEFT + (p.x1 - pan) * zoom * inner();
      if (x1 < LEFT || x0 > end) continue;
      out.push(`<rect x="${x0}" y="${TOP}" width="${x1 - x0}" height="${bottom - TOP}" fill="url(#i)"><title>nothing for ${span(p.t1 - p.t0)}</title></rect>`);
      if (x1 - x0 > 44) out.push(`<text class="small" text-anchor="middle" x="${(x0 + x1) / 2}" y="${bottom + 14}">${span(p.t1 - p.t0)}</text>`);
    }
    // Ticks of the clock.
    let free = LEFT - 40;
    for (const p of axis) {
      if (p.idle) continue;
      const scale = p.t1 > p.t0 ? (p.x1 - p.x0) * zoom * inner() / (p.t1 - p.t0) : 0;
      const step = scale ? STEPS.find(s => s * scale >= 105) || STEPS[STEPS.length - 1] : 0;
      const from = scale ? Math.max(p.t0, p.t0 + (LEFT - X(p.t0)) / scale) : p.t0, to = scale ? Math.min(p.t1, p.t0 + (end - X(p.t0)) / scale) : p.t1;
      const base = Number(origin % 86400000000000n) / 1000;
      const times = [];
      if (step) for (let t = Math.ceil((from + base) / step) * step - base; t <= to && times.length < 60; t += step) times.push(t);
      if (!times.length) times.push(from);
      for (const t of times) {
        const x = X(t), label = clock(t, step || 1e3);
        if (x < LEFT - 1 || x > end + 1) continue;
        out.push(`<line x1="${x}" x2="${x}" y1="${TOP}" y2="${bottom}" stroke="var(--line)" opacity=".7"/>`);
        const half = label.length * 3.2, at = Math.min(Math.max(x, LEFT + half), end - half);
        if (at - half > free) { out.push(`<text text-anchor="middle" x="${at}" y="${bottom + 20}">${label}</text>`); free = at + half + 12; }
      }
    }
    // Segments, frames and gaps.
    D.lanes.forEach((lane, n) => {
      const y = TOP + n * LANE, base = y + LANE - 9;
      let first = 0;
      while (first < lane.blocks.length) {
        const segment = lane.blocks[first].segment; let last = first;
        while (last + 1 < lane.blocks.length && lane.blocks[last + 1].segment === segment) last++;
        const from = X(lane.blocks[first].t0), to = Math.max(X(lane.blocks[last].t1), from + 3);
        if (to >= LEFT && from <= end) {
          const x0 = Math.max(from, LEFT - 2), x1 = Math.min(to, end + 2);
          out.push(`<rect x="${x0}" y="${y + 5}" width="${x1 - x0}" height="${BAND - 4}" rx="3" fill="var(--band${Number(segment) % 2 ? '2' : ''})"/>`);
          if (x1 - x0 > 70) out.push(`<text class="small" x="${x0 + 6}" y="${y + 15.5}">segment ${segment}</text>`);
          else if (x1 - x0 > 8 + 7 * segment.length) out.push(`<text class="small" x="${x0 + 4}" y="${y + 15.5}">${segment}</text>`);
        }
        first = last + 1;
      }
      let bar = null, edge = LEFT - 100;
      // A moment with nothing near it is drawn wide enough to point at.
      const flush = next => {
        if (!bar) return;
        const lone = bar.x0 - edge > 16 && next - bar.x1 > 16, many = bar.from !== bar.to;
        const w = Math.max(bar.x1 - bar.x0, lone ? 7 : 2.5);
        edge = bar.x0 + w;
        if (bar.data) out.push(`<rect data-l="${n}" data-f="${bar.from}" data-t="${bar.to}" x="${bar.x0}" y="${base - bar.h}" width="${w}" height="${bar.h}" rx="${w > 6 ? 2.5 : 0.5}" fill="var(--data)" opacity="${many ? 0.72 : 0.92}"/>`);
        else out.push(`<rect data-l="${n}" data-f="${bar.from}" data-t="${bar.to}" x="${bar.x0 - 1}" y="${base - 7}" width="${Math.max(w, 3)}" height="7" rx="1" fill="var(--mark)"/>`);
        const b = lane.blocks[bar.from];
        if (!many && bar.data && w > 46) out.push(`<text class="on" text-anchor="middle" x="${bar.x0 + w / 2}" y="${base - bar.h / 2 + 4}" pointer-events="none">${count(b.entries)}</text>`);
        bar = null;
      };
      lane.blocks.forEach((b, i) => {
        const x0 = X(b.t0), x1 = X(b.t1);
        if (x1 < LEFT - 4 || x0 > end + 4) return;
        const h = tall(b), data = b.entries > 0;
        // What falls onto one pixel is one bar.
        if (bar && bar.data === data && x0 < bar.x0 + 2.5) { bar.x1 = Math.max(bar.x1, x1); bar.h = Math.max(bar.h, h); bar.to = i; return; }
        flush(x0); bar = { x0, x1: Math.max(x1 - 0.75, x0), h, from: i, to: i, data };
      });
      flush(Infinity);
      lane.gaps.forEach((gap, i) => {
        let x0 = X(gap.t0), x1 = gap.t1 === null ? Math.max(x0 + 46, Math.min(end, x0 + 90)) : X(gap.t1);
        if (x1 - x0 < 14) { const mid = (x0 + x1) / 2; x0 = mid - 7; x1 = mid + 7; }
        out.push(`<rect data-l="${n}" data-g="${i}" x="${x0}" y="${y + 22}" width="${x1 - x0}" height="${base - y - 22}" rx="3" fill="url(#h)" stroke="var(--bad)"/>`);
      });
    });
    // Epochs.
    free = LEFT - 100;
    // The one in which the picture begins has its name at the edge, if that does not run into the next.
    const begun = D.epochs.filter(e => X(e.t) < LEFT - 1).pop(), next = D.epochs.find(e => X(e.t) >= LEFT - 1);
    if (begun && (!next || X(next.t) > LEFT + 80)) out.push(`<text class="small" x="${LEFT + 3}" y="${TOP - 4}">epoch ${begun.epoch}</text>`);
    for (const e of D.epochs) {
      const x = X(e.t);
      if (x < LEFT - 1 || x > end) continue;
      out.push(`<line x1="${x}" x2="${x}" y1="${TOP - 10}" y2="${bottom - 8}" stroke="var(--faint)" stroke-dasharray="2 3" opacity=".75"/>`);
      const label = `epoch ${e.epoch}`;
      if (x > free) { out.push(`<text class="small" x="${x + 3}" y="${TOP - 4}">${label}</text>`); free = x + 12 + label.length * 5.6; }
    }
    if (D.checkpoint) {
      const x = X(D.checkpoint.t), label = `checkpoint of epoch ${D.checkpoint.epoch}`, right = x > end - 150;
      out.push(`<line x1="${x}" x2="${x}" y1="${TOP - 26}" y2="${bottom - 8}" stroke="var(--check)" stroke-width="2"/>`);
      out.push(`<path d="M${x} ${TOP - 38} l6 6 l-6 6 l-6 -6 z" fill="var(--check)"/>`);
      out.push(`<text class="ck" x="${right ? x - 11 : x + 11}" y="${TOP - 28}" text-anchor="${right ? 'end' : 'start'}">${label}</text>`);
    }
    out.push('</g>');
    // What is lost is said where it fits.
    D.lanes.forEach((lane, n) => lane.gaps.forEach(gap => {
      const x = Math.min(Math.max((X(gap.t0) + (gap.t1 === null ? X(gap.t0) + 60 : X(gap.t1))) / 2, LEFT + 30), end - 40), y = TOP + n * LANE + 31;
      const label = gap.lost ? `${count(gap.lost)} lost` : 'damaged';
      const seen = X(gap.t1 === null ? gap.t0 : gap.t1) >= LEFT && X(gap.t0) <= end;
      if (seen) out.push(`<rect x="${x - label.length * 3.4 - 5}" y="${y + 2}" width="${label.length * 6.8 + 10}" height="17" rx="8.5" fill="var(--card)" stroke="var(--bad)" pointer-events="none"/><text class="lost" pointer-events="none" text-anchor="middle" x="${x}" y="${y + 14.5}">${label}</text>`);
    }));
    out.push('</svg>');
    chart.querySelector('svg')?.remove();
    chart.insertAdjacentHTML('afterbegin', out.join(''));
  }

  function describe(target) {
    const lane = D.lanes[target.dataset.l];
    if (target.dataset.g !== undefined) {
      const gap = lane.gaps[target.dataset.g];
      return `<b>cannot be read</b><br><span class="k">${escape(gap.reason)}</span>` + (gap.lost ? `<br>${count(gap.lost)} entries lost` : '');
    }
    const part = lane.blocks.slice(+target.dataset.f, +target.dataset.t + 1), a = part[0], z = part[part.length - 1];
    const sum = key => part.reduce((s, b) => s + b[key], 0), frames = sum('frames'), entries = sum('entries');
    const range = (from, to) => from === to ? from : `${from} to ${to}`;
    const last = BigInt(z.sequence) + BigInt(Math.max(z.entries - 1, 0));
    const head = entries === 0 ? (frames === 1 ? 'barrier or seal' : `${count(frames)} barriers and seals`) : frames === 1 ? 'frame' : `${count(frames)} frames`;
    return `<b>core ${lane.core}, ${head}</b><br><span class="k">entries</span> ${count(entries)}, <span class="k">bytes</span> ${bytes(sum('bytes'))}`
      + `<br><span class="k">sequences</span> ${range(a.sequence, String(last))}<br><span class="k">epochs</span> ${range(a.epochs[0], z.epochs[1])}`
      + `<br><span class="k">segment</span> ${range(a.segment, z.segment)} <span class="k">at</span> ${a.offset}<br><span class="k">from</span> ${clock(a.t0, 1)} <span class="k">for</span> ${span(z.t1 - a.t0)}`;
  }

  const limit = () => { pan = Math.min(Math.max(pan, 0), 1 - 1 / zoom); draw(); };
  const zoomAt = (factor, x) => {
    const at = pan + (x - LEFT) / inner() / zoom;
    zoom = Math.min(Math.max(zoom * factor, 1), 1e7);
    pan = at - (x - LEFT) / inner() / zoom;
    limit();
  };
  chart.addEventListener('wheel', e => {
    e.preventDefault();
    if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) { pan += e.deltaX / inner() / zoom; limit(); }
    else zoomAt(Math.exp(-e.deltaY / 400), e.clientX - chart.getBoundingClientRect().left);
  }, { passive: false });
  let grabbed = null;
  chart.addEventListener('pointerdown', e => { grabbed = { x: e.clientX, pan }; chart.setPointerCapture(e.pointerId); });
  chart.addEventListener('pointerup', () => { grabbed = null; });
  chart.addEventListener('pointermove', e => {
    if (grabbed) { tip.style.display = 'none'; pan = grabbed.pan - (e.clientX - grabbed.x) / inner() / zoom; limit(); return; }
    const target = e.target.closest('[data-l]');
    if (!target) { tip.style.display = 'none'; return; }
    tip.innerHTML = describe(target);
    tip.style.display = 'block';
    const box = chart.getBoundingClientRect();
    tip.style.left = Math.min(e.clientX - box.left + 14, box.width - tip.offsetWidth) + 'px';
    tip.style.top = e.clientY - box.top + 16 + 'px';
  });
  chart.addEventListener('pointerleave', () => { tip.style.display = 'none'; });
  chart.addEventListener('dblclick', () => { zoom = 1; limit(); });
  chart.addEventListener('keydown', e => {
    const mid = LEFT + inner() / 2;
    const act = { '+': () => zoomAt(1.5, mid), '=': () => zoomAt(1.5, mid), '-': () => zoomAt(1 / 1.5, mid), ArrowLeft: () => { pan -= 0.1 / zoom; limit(); },
      ArrowRight: () => { pan += 0.1 / zoom; limit(); }, Home: () => { zoom = 1; limit(); } }[e.key];
    if (act) { e.preventDefault(); act(); }
  });
  document.getElementById('in').onclick = () => zoomAt(2, LEFT + inner() / 2);
  document.getElementById('out').onclick = () => zoomAt(0.5, LEFT + inner() / 2);
  document.getElementById('all').onclick = () => { zoom = 1; limit(); };
  addEventListener('resize', draw);
  draw();
})();

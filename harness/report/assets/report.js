/* Draws the timelines: one uPlot per quantity, one x scale per scenario, seconds from injection.
   Charts are made when they scroll into view; zoom and cursor are shared by all variants. */
"use strict";
(() => {
  const root = document.documentElement;
  let palette = {};

  // -- theme ---------------------------------------------------------------------------------
  const wanted = /theme=(light|dark)/.exec(location.hash);
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = wanted && wanted[1];
  const paint = () => {
    root.dataset.theme = chosen || (system.matches ? "dark" : "light");
    palette = {};
    groups.forEach((g) => g.charts.forEach((u) => u.redraw(false, true)));
  };
  const color = (name) => palette[name] ??= getComputedStyle(root).getPropertyValue("--" + name).trim();

  const most = (values, floor) => values.reduce((a, v) => v > a ? v : a, floor);
  const least = (values, ceiling) => values.reduce((a, v) => v !== null && v < a ? v : a, ceiling);

  // -- groups: what zooms and points together ------------------------------------------------
  const groups = [];

  class Group {
    constructor(element) {
      this.element = element;
      this.charts = [];
      this.sync = uPlot.sync(element.dataset.group);
      this.clock = element.querySelector(".clock");
      this.trials = [...element.querySelectorAll(".charts")].map((box) => ({
        box,
        data: JSON.parse(document.getElementById("data-" + box.dataset.trial).textContent),
      }));
      const all = this.trials.map((t) => t.data);
      this.full = [Math.min(...all.map((d) => d.begin)), Math.max(...all.map((d) => d.end))];
      this.range = this.full.slice();
      // The same y range in every variant, so that heights can be compared.
      this.top = {
        latency: most(all.flatMap((d) => d.requests.p99), 20),
        quick: least(all.flatMap((d) => d.requests.p50), 10),
        ready: most(all.flatMap((d) => [Object.values(d.replicas), ...Object.values(d.ready).map((s) => s[1])]).flat(), 1),
        restarts: most(all.flatMap((d) => Object.values(d.restarts).map((s) => s[1])).flat(), 3),
        memory: most(all.flatMap((d) => d.memory ? [[d.memory.limit], ...Object.values(d.memory.lines)] : []).flat(), 1),
        measured: (i) => most(all.flatMap((d) => d.measured[i] ? [d.measured[i].asked, ...d.measured[i].v] : []), 1e-3),
      };
      for (const button of element.querySelectorAll("[data-zoom]"))
        button.addEventListener("click", () => this.named(button.dataset.zoom));
      this.press("all");
    }

    window(name) {
      const spans = this.trials.flatMap(({data}) =>
        name === "fault" ? (data.fault ? [data.fault] : []) :
        data.phases.filter((p) => p[0] === name).map((p) => [p[1], p[2]]));
      if (!spans.length) return null;
      const begin = Math.min(...spans.map((s) => s[0])), end = Math.max(...spans.map((s) => s[1]));
      const margin = Math.max(1, (end - begin) * .04);
      return [begin - margin, end + margin];
    }

    named(name) {
      const [a, b] = this.range, middle = (a + b) / 2, half = (b - a) / 2;
      if (name === "in") return this.zoom(middle - half / 2, middle + half / 2);
      if (name === "out") return this.zoom(middle - half * 2, middle + half * 2);
      const span = name === "all" ? this.full : this.window(name);
      if (span) { this.zoom(...span); this.press(name); }
    }

    press(name) {
      for (const button of this.element.querySelectorAll("[data-zoom]"))
        button.setAttribute("aria-pressed", String(button.dataset.zoom === name));
    }

    zoom(begin, end) {
      const least = .5;
      begin = Math.max(this.full[0], begin);
      end = Math.min(this.full[1], end);
      if (end - begin < least) { const m = (begin + end) / 2; begin = m - least / 2; end = m + least / 2; }
      this.range = [begin, end];
      this.press(begin <= this.full[0] && end >= this.full[1] ? "all" : null);
      this.charts.forEach((u) => u.setScale("x", {min: begin, max: end}));
    }
  }

  // -- words ---------------------------------------------------------------------------------
  const clock = (s, digits = 1) => {
    const sign = s < 0 ? "−" : s > 0 ? "+" : "", size = Math.abs(s);
    if (size < 120) return sign + (digits ? size.toFixed(digits) : String(Math.round(size * 10) / 10)) + " s";
    const whole = Math.round(size);
    return sign + Math.floor(whole / 60) + ":" + String(whole % 60).padStart(2, "0");
  };
  const ms = (v) => v == null ? "–" : v < 1000 ? (v < 10 ? v.toFixed(1) : Math.round(v)) + " ms" : (v / 1000).toFixed(2) + " s";
  const bytes = (v) => v == null ? "–" : (v / 1048576).toFixed(v < 104857600 ? 1 : 0) + " Mi";
  const share = (v) => v == null ? "–" : (v === 100 ? "100" : v.toFixed(1)) + " %";
  const count = (v) => v == null ? "–" : String(v);
  const element = (name, attributes = {}, ...children) => {
    const e = document.createElement(name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    e.append(...children);
    return e;
  };

  // -- what every chart shares: fault window, phase edges, axes --------------------------------
  const bands = (data) => ({hooks: {drawClear: [(u) => {
    const {ctx, bbox} = u, x = (t) => u.valToPos(t, "x", true);
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    if (data.fault) {
      const left = x(data.fault[0]), right = x(data.fault[1]);
      ctx.fillStyle = color("fault");
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.fillStyle = color("fault-edge");
      ctx.fillRect(left, bbox.top, Math.max(1, devicePixelRatio), bbox.height);
      ctx.fillRect(right - 1, bbox.top, Math.max(1, devicePixelRatio), bbox.height);
    }
    ctx.restore();
  }]}});

  const xAxis = (show) => ({
    show, stroke: () => color("soft"), size: 22, gap: 3, font: "11px ui-sans-serif, system-ui, sans-serif",
    grid: {stroke: () => color("grid"), width: 1}, ticks: {show: false}, space: 64,
    incrs: [.1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200],
    values: (u, at) => at.map((v) => clock(v, 0)),
  });
  const gridOnly = () => ({...xAxis(true), size: 0, values: (u, at) => at.map(() => "")});
  const yAxis = (values, more = {}) => ({
    stroke: () => color("soft"), size: 46, gap: 4, font: "11px ui-sans-serif, system-ui, sans-serif",
    grid: {stroke: () => color("grid"), width: 1}, ticks: {show: false}, values, ...more,
  });

  const pinch = (group) => ({hooks: {ready: [(u) => {
    const held = new Map();
    let start = null;
    u.over.addEventListener("pointerdown", (e) => {
      if (e.pointerType !== "touch") return;
      held.set(e.pointerId, e.offsetX);
      if (held.size === 2) start = {at: [...held.values()], range: group.range.slice()};
    });
    u.over.addEventListener("pointermove", (e) => {
      if (!held.has(e.pointerId)) return;
      held.set(e.pointerId, e.offsetX);
      if (held.size !== 2 || !start) return;
      const width = u.over.clientWidth, [a, b] = start.range, per = (b - a) / width;
      const [p, q] = start.at.slice().sort((x, y) => x - y), [r, s] = [...held.values()].sort((x, y) => x - y);
      const scale = per * (q - p) / Math.max(8, s - r), begin = a + p * per - r * scale;
      group.zoom(begin, begin + width * scale);
    });
    const release = (e) => { held.delete(e.pointerId); start = null; };
    for (const type of ["pointerup", "pointercancel", "pointerleave"]) u.over.addEventListener(type, release);
  }]}});

  /* One chart: `series` are {label, stroke, values, text, ...}; the header doubles as legend. */
  function chart(group, trial, box, {title, height, x, series, y, axis, plugins = [], last = false, held = false}) {
    const holder = element("div", {class: "chart", role: "img", "aria-label": `${title}, ${trial.box.dataset.name}`});
    const header = element("header", {}, element("b", {}, title));
    const outputs = series.map((s) => {
      if (!s.label) return null;
      const output = element("output"), swatch = element("i", {class: s.dashed ? "dashed" : ""});
      const entry = element("span", {class: "entry"}, swatch, s.label + " ", output);
      header.append(entry);
      return {output, swatch, stroke: s.stroke, text: s.text};
    });
    const tint = () => outputs.forEach((o) => { if (o) o.swatch.style.borderTopColor = color(o.stroke); });
    holder.append(header);
    box.append(holder);
    const show = (u) => outputs.forEach((o, i) => {
      const at = u.cursor.idxs[i + 1];
      if (o) o.output.textContent = u.cursor.left < 0 || at == null ? "" : o.text(u.data[i + 1][at], at);
    });
    const u = new uPlot({
      width: trial.width, height, padding: [6, 10, last ? 0 : 4, 0], legend: {show: false},
      scales: {x: {time: false, auto: false, range: () => group.range}, y},
      cursor: {
        y: false, sync: {key: group.sync.key, setSeries: false},
        drag: {x: true, y: false, setScale: false, dist: 4},
        bind: {dblclick: () => () => { group.named("all"); return null; }},
        // A step function holds its last value; the nearest point may be a later one.
        dataIdx: (self, i, nearest, at) => held && self.data[0][nearest] > at ? Math.max(0, nearest - 1) : nearest,
        points: {show: !held, size: 6, width: 1.5, fill: () => color("card"), stroke: (self, i) => series[i - 1].stroke ? color(series[i - 1].stroke) : "transparent"},
      },
      axes: [last ? xAxis(true) : gridOnly(), axis],
      series: [{}, ...series.map((s) => ({
        width: s.width || 1.5, points: {show: s.points || false, size: 4, fill: () => color(s.stroke || "ink"), width: 0}, spanGaps: s.spanGaps || false,
        stroke: s.stroke ? () => color(s.stroke) : null, fill: s.fill ? () => color(s.fill) : null,
        fillTo: s.fillTo, dash: s.dashed ? [5, 4] : undefined,
        paths: s.paths === null ? () => null : s.paths || uPlot.paths.linear(),
      }))],
      plugins: [bands(trial.data), pinch(group), ...plugins],
      hooks: {
        draw: [tint],
        setCursor: [(self) => {
          show(self);
          if (self.cursor.left >= 0) group.clock.textContent = clock(self.posToVal(self.cursor.left, "x"));
        }],
        setSelect: [(self) => {
          if (self.select.width < 4) return;
          const begin = self.posToVal(self.select.left, "x"), end = self.posToVal(self.select.left + self.select.width, "x");
          self.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
          group.zoom(begin, end);
        }],
      },
    }, [x, ...series.map((s) => s.values)], holder);
    group.charts.push(u);
    trial.charts.push([u, holder]);
    return u;
  }

  const stepped = uPlot.paths.stepped({align: 1});

  /* Several step functions on the union of their times. */
  function steps(named) {
    const x = [...new Set([].concat(...named.map(([, s]) => s[0])))].sort((a, b) => a - b);
    return [x, named.map(([, [times, values]]) => {
      let i = -1;
      return x.map((t) => { while (i + 1 < times.length && times[i + 1] <= t) i++; return i < 0 ? null : values[i]; });
    })];
  }

  // -- the charts of one trial -----------------------------------------------------------------
  function phases(group, trial) {
    const {data} = trial, labels = {hooks: {draw: [(u) => {
      const {ctx, bbox} = u, px = devicePixelRatio;
      ctx.save();
      ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
      ctx.font = `${11 * px}px ui-sans-serif, system-ui, sans-serif`;
      ctx.textBaseline = "middle"; ctx.textAlign = "left";
      data.phases.forEach(([name, from, to], i) => {
        const left = Math.max(bbox.left, u.valToPos(from, "x", true)), right = Math.min(bbox.left + bbox.width, u.valToPos(to, "x", true));
        if (right <= left) return;
        ctx.fillStyle = color("grid");
        if (i % 2) ctx.fillRect(left, bbox.top, right - left, bbox.height - 5 * px);
        ctx.fillStyle = color("faint");
        ctx.fillRect(left, bbox.top, px, bbox.height - 5 * px);
        if (ctx.measureText(name).width + 8 * px > right - left) return;
        ctx.fillStyle = color("soft");
        ctx.fillText(name, left + 5 * px, bbox.top + (bbox.height - 5 * px) / 2);
      });
      // The asked window is shaded everywhere; the bar under the phases is what was achieved.
      ctx.fillStyle = color("fault-edge");
      for (const [from, to] of data.felt) {
        const left = u.valToPos(from, "x", true);
        ctx.fillRect(left, bbox.top + bbox.height - 4 * px, Math.max(2 * px, u.valToPos(to, "x", true) - left), 4 * px);
      }
      ctx.restore();
    }]}};
    const u = chart(group, trial, trial.box, {
      title: "Phases", height: 34, x: [data.begin, data.end], y: {range: () => [0, 1]},
      axis: yAxis((u, at) => at.map(() => ""), {grid: {show: false}}), plugins: [labels],
      series: [{values: [null, null], paths: null}],
    });
    const header = u.root.parentElement.querySelector("header");
    const asked = element("i", {class: "window"}), felt = element("i");
    asked.style.background = "var(--fault)"; asked.style.boxShadow = "inset 1px 0 0 var(--fault-edge), inset -1px 0 0 var(--fault-edge)";
    felt.style.borderTopColor = "var(--fault-edge)";
    header.append(element("span", {class: "entry"}, asked, "fault asked"), element("span", {class: "entry"}, felt, "fault felt"));
  }

  function latency(group, trial) {
    const r = trial.data.requests, text = (v) => ms(v);
    const bottom = 10 ** Math.floor(Math.log10(Math.max(.1, group.top.quick))), top = group.top.latency * 1.4;
    const decades = [];
    for (let v = bottom; v <= top; v *= 10) decades.push(v);
    chart(group, trial, trial.box, {
      title: "Latency", height: 150, x: r.t, y: {distr: 3, range: () => [bottom, top]},
      axis: yAxis((u, at) => at.map((v) => v < 1000 ? v + " ms" : v / 1000 + " s"), {splits: () => decades, filter: (u, at) => at}),
      series: [
        {label: "p99", stroke: "p99", values: r.p99, text, width: 1.75},
        {label: "p95", stroke: "p95", values: r.p95, text},
        {label: "p50", stroke: "p50", values: r.p50, text, width: 1.75},
      ],
    });
  }

  function success(group, trial) {
    const r = trial.data.requests;
    const rate = r.count.map((n, i) => n ? 100 * r.ok[i] / n : null);
    chart(group, trial, trial.box, {
      title: "Success rate", height: 84, x: r.t, y: {range: () => [0, 104]},
      axis: yAxis((u, at) => at.map((v) => v + " %"), {splits: () => [0, 50, 100]}),
      series: [
        {label: "answered", stroke: "good", fill: "bad-area", fillTo: () => 100, values: rate,
          text: (v, i) => share(v) + ` of ${r.count[i]}`},
      ],
    });
  }

  function ready(group, trial) {
    const named = Object.entries(trial.data.ready);
    if (!named.length) return;
    const [x, columns] = steps(named);
    const label = (role) => named.length > 1 ? role : "of " + trial.data.replicas[role];
    chart(group, trial, trial.box, {
      title: "Ready replicas", height: 78, held: true, x, y: {range: () => [0, group.top.ready * 1.1]},
      axis: yAxis((u, at) => at, {incrs: [1, 2, 5, 10, 20, 50], space: 18}),
      series: named.map(([role], i) => ({
        label: label(role), stroke: "c" + (i % 5 + 1), fill: i ? null : "area", values: columns[i], text: count, paths: stepped, width: 2,
      })),
    });
  }

  function restarts(group, trial) {
    const named = Object.entries(trial.data.restarts);
    if (!named.length) return;
    const [x, columns] = steps(named);
    chart(group, trial, trial.box, {
      title: "Restarts so far", height: 62, held: true, x, y: {range: () => [0, group.top.restarts * 1.1]},
      axis: yAxis((u, at) => at, {incrs: [1, 2, 3, 5, 10, 20, 50, 100], space: 18}),
      series: named.map(([role], i) => ({
        label: named.length > 1 ? role : "total", stroke: i ? "c" + (i % 5 + 1) : "bad", fill: i ? null : "bad-area", values: columns[i], text: count, paths: stepped, width: 2,
      })),
    });
  }

  function memory(group, trial) {
    const m = trial.data.memory;
    if (!m) return;
    const names = Object.keys(m.lines).slice(0, 5), series = names.map((name, i) => ({
      label: name.split("/")[0].split("-").pop(), stroke: "c" + (i % 5 + 1), values: m.lines[name], text: bytes, spanGaps: true,
    }));
    if (m.limit) series.push({label: "limit", stroke: "bad", dashed: true, values: m.t.map(() => m.limit), text: bytes});
    chart(group, trial, trial.box, {
      title: "Memory", height: 84, x: m.t, y: {range: () => [0, group.top.memory * 1.08]},
      axis: yAxis((u, at) => at.map((v) => Math.round(v / 1048576) + " Mi"), {space: 24, incrs: [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192].map((n) => n * 1048576)}), series,
    });
  }

  function measured(group, trial) {
    trial.data.measured.forEach((m, i) => {
      const seconds = /seconds|latency|delay/.test(m.key), text = (v) => seconds && v != null ? ms(v * 1000) : v == null ? "–" : String(Math.round(v * 1000) / 1000);
      const top = group.top.measured(i);
      const series = [{label: "achieved", stroke: "fault-edge", values: m.v, text, points: true, width: 1, spanGaps: true}];
      if (m.asked != null) series.push({
        label: "asked", stroke: "soft", dashed: true, text,
        values: m.t.map((t) => trial.data.fault && t >= trial.data.fault[0] && t <= trial.data.fault[1] ? m.asked : null),
      });
      chart(group, trial, trial.box, {
        title: "Fault: " + m.what, height: 78, x: m.t, y: {range: () => [0, top * 1.15]},
        axis: yAxis((u, at) => at.map((v) => seconds ? v + " s" : v), {space: 24}), series,
      });
    });
  }

  const LANES = 7;
  /* The rows of the events chart, the same in every variant: warnings, then what happened after
     the injection, most frequent first; the rest (starts of the subject) shares one row. */
  function lanes(trials) {
    const tally = new Map();
    for (const {data} of trials)
      for (const [t, reason, warning] of data.events) {
        const lane = tally.get(reason) || {reason, warning: false, late: false, n: 0};
        lane.warning ||= warning; lane.late ||= data.fault !== null && t >= 0; lane.n += 1;
        tally.set(reason, lane);
      }
    const all = [...tally.values()].sort((a, b) => b.warning - a.warning || b.late - a.late || b.n - a.n);
    const own = all.filter((l) => l.warning || l.late).slice(0, LANES).map((l) => l.reason);
    return {own, names: own.length < all.length ? [...own, own.length ? "other" : "all"] : own};
  }

  function events(group, trial) {
    const found = trial.data.events, {own: shown, names} = group.lanes ??= lanes(group.trials);
    const lane = (reason) => { const i = shown.indexOf(reason); return i < 0 ? shown.length : i; };
    const row = 26, rows = Math.max(1, names.length), tip = element("div", {class: "tip", hidden: ""});
    const y = (u, i) => u.bbox.top + (i + .68) * u.bbox.height / rows;
    const draw = (u) => {
      const {ctx, bbox} = u, px = devicePixelRatio;
      ctx.save();
      ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
      ctx.font = `${11 * px}px ui-sans-serif, system-ui, sans-serif`;
      ctx.textBaseline = "alphabetic"; ctx.textAlign = "left";
      names.forEach((name, i) => {
        ctx.fillStyle = color("grid");
        ctx.fillRect(bbox.left, Math.round(y(u, i)), bbox.width, px);
        ctx.fillStyle = color("soft");
        ctx.fillText(name, bbox.left + 4 * px, y(u, i) - 7 * px);
      });
      for (const [t, reason, warning] of found) {
        const cx = u.valToPos(t, "x", true), cy = y(u, lane(reason)), r = 4 * px;
        if (cx < bbox.left - r || cx > bbox.left + bbox.width + r) continue;
        ctx.beginPath();
        if (warning) { ctx.moveTo(cx, cy - r * 1.2); ctx.lineTo(cx + r * 1.1, cy + r * .8); ctx.lineTo(cx - r * 1.1, cy + r * .8); ctx.closePath(); ctx.fillStyle = color("bad"); ctx.fill(); }
        else { ctx.arc(cx, cy, r * .7, 0, 7); ctx.fillStyle = color("card"); ctx.fill(); ctx.lineWidth = 1.5 * px; ctx.strokeStyle = color("soft"); ctx.stroke(); }
      }
      ctx.restore();
    };
    const point = (u) => {
      const {left, top} = u.cursor;
      // Only under the pointer itself, not where a synced chart is pointed at.
      if (left < 0 || u.cursor.event == null) { tip.hidden = true; return; }
      const at = Math.floor((top / u.over.clientHeight) * rows);
      const near = found.filter((e) => lane(e[1]) === at && Math.abs(u.valToPos(e[0], "x") - left) < 7).slice(0, 5);
      tip.hidden = !near.length;
      if (!near.length) return;
      tip.replaceChildren(...near.map(([t, reason, , object, message, n]) =>
        element("p", {}, element("b", {}, `${clock(t)} ${reason}`), ` ${object}${n > 1 ? ` (${n} times)` : ""}: ${message}`)));
      tip.style.left = Math.min(left + 52, Math.max(0, u.root.clientWidth - tip.offsetWidth - 6)) + "px";
      tip.style.bottom = (u.root.clientHeight - top - u.over.offsetTop + 14) + "px";
    };
    const u = chart(group, trial, trial.box, {
      title: "Kubernetes events" + (found.length ? "" : ": none arrived"), height: rows * row + 32, last: true,
      x: [trial.data.begin, trial.data.end], y: {range: () => [0, 1]},
      axis: yAxis((self, at) => at.map(() => ""), {grid: {show: false}}),
      series: [{values: [null, null], paths: null}], plugins: [{hooks: {draw: [draw], setCursor: [point]}}],
    });
    u.root.append(tip);
    u.over.addEventListener("mouseleave", () => { tip.hidden = true; });
  }

  // -- start -------------------------------------------------------------------------------
  function build(group, trial) {
    trial.charts = [];
    // Measured once: asking after each chart would lay the whole page out again each time.
    const probe = trial.box.appendChild(element("div"));
    trial.width = probe.clientWidth;
    probe.remove();
    for (const part of [phases, latency, success, ready, restarts, memory, measured, events]) part(group, trial);
    new ResizeObserver(() => {
      for (const [u, holder] of trial.charts)
        if (holder.clientWidth && holder.clientWidth !== u.width) u.setSize({width: holder.clientWidth, height: u.height});
    }).observe(trial.box);
  }

  paint();
  system.addEventListener("change", paint);
  document.getElementById("theme").addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    paint();
  });
  const start = (timeline) => {
    const group = new Group(timeline);
    groups.push(group);
    group.trials.forEach((trial) => build(group, trial));
    timeline.closest(".scenario").addEventListener("click", (e) => {
      const at = e.target.closest("[data-at]");
      if (!at) return;
      const t = Number(at.dataset.at), half = Math.min(15, (group.full[1] - group.full[0]) / 2);
      group.zoom(t - half, t + half);
      timeline.scrollIntoView({behavior: "smooth", block: "start"});
    });
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      seen.unobserve(entry.target);
      start(entry.target);
    }
  }, {rootMargin: "600px"});
  // The first is what everybody came for; a nightly run has dozens more that may never be seen.
  document.querySelectorAll(".timeline").forEach((t, i) => i ? seen.observe(t) : start(t));
})();

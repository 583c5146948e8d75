// How a report looks.
#pragma once

namespace mxfp4::cli {

inline constexpr const char* kReportStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #fff; --ink: #1d2127; --soft: #5d6673; --line: #e2e4e8; --hole: #edeef0;
  --accent: #2b6cb0; --good: #1c7c54; --fair: #9a6700; --bad: #c0332b;
  --good-back: #e4f4ec; --fair-back: #fdf3d8; --bad-back: #fce8e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --card: #1c2026; --ink: #e6e8eb; --soft: #9aa4b1; --line: #2e343d; --hole: #262b32;
    --accent: #68a7e4; --good: #56c596; --fair: #e3b341; --bad: #ff7b72;
    --good-back: #173328; --fair-back: #372c10; --bad-back: #3d1d1b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 0 0 .15rem; font-size: 1.1rem; }
p { margin: 0 0 .9rem; }
.soft, caption, .axis, th { color: var(--soft); }
.small { font-size: .875rem; }
code, .name { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .85em; }
.name { overflow-wrap: anywhere; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
section {
  margin-top: 1rem; padding: 1.1rem 1.25rem; border: 1px solid var(--line); border-radius: 10px;
  background: var(--card);
}
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin-top: 1rem; }
.pair section { display: flex; flex-direction: column; margin-top: 0; min-width: 0; }
.pair section > p { flex: 1; }
.verdict { display: flex; gap: .9rem; align-items: flex-start; border-left: 6px solid; }
.verdict svg { flex: none; width: 2rem; height: 2rem; margin-top: .1rem; fill: none; stroke: currentColor; }
.verdict p { margin: 0; color: var(--ink); }
.verdict strong { font-size: 1.2rem; text-transform: capitalize; }
.verdict.good { color: var(--good); background: var(--good-back); border-color: var(--good); }
.verdict.fair { color: var(--fair); background: var(--fair-back); border-color: var(--fair); }
.verdict.bad { color: var(--bad); background: var(--bad-back); border-color: var(--bad); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1rem; margin: 1rem 0 0; }
.facts div { padding: .8rem .9rem; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
.facts dt { color: var(--soft); font-size: .875rem; }
.facts dd { margin: 0; font-size: 1.35rem; font-weight: 600; line-height: 1.4; white-space: nowrap; }
.facts dd + dd { color: var(--soft); font-size: .8rem; font-weight: 400; white-space: normal; }
svg { display: block; overflow: hidden; }
.strip { width: 100%; height: 1.5rem; border-radius: 3px; }
.strip rect { stroke: var(--card); stroke-width: 1.5px; vector-effect: non-scaling-stroke; }
.strip.dense rect { stroke: none; }
.strip .none { fill: var(--hole); }
.shade, .bar, .mark { fill: var(--accent); }
.columns { width: 100%; height: 8.5rem; border-bottom: 1px solid var(--soft); }
.columns rect.bad { fill: var(--bad); }
.columns g:hover .bar { fill: var(--ink); }
.grid { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr max-content; gap: .35rem .9rem; align-items: center; grid-auto-flow: row dense; }
.grid > .name { max-width: 19rem; }
.grid > .chart, .grid > .axis { grid-column: 2; }
.grid > .name { grid-column: 1; }
.grid > .number { grid-column: 3; text-align: right; }
.grid > .extra { grid-column: 4; }
.axis { position: relative; height: 1.4rem; font-size: .75rem; }
.axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem .9rem; margin: .9rem 0 0; font-size: .8rem; color: var(--soft); }
.legend i { display: inline-block; width: .9rem; height: .9rem; margin-right: .35rem; border-radius: 2px; vertical-align: -.12rem; }
.range { width: 100%; height: 1.9rem; }
.range .track { fill: var(--line); }
.range .spread { fill: var(--accent); fill-opacity: .3; }
.range .reference { fill: var(--soft); }
.rules { grid-template-columns: minmax(6rem, max-content) 1fr max-content max-content; row-gap: 0; }
.rules > .head { padding-bottom: .3rem; }
.rules > .head { color: var(--soft); font-size: .8rem; }
.rules .own { font-weight: 600; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; }
th { font-weight: 500; text-align: left; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
td:last-child, th:last-child { padding-right: 0; }
.right { text-align: right; }
details { margin-top: .9rem; }
summary { color: var(--soft); font-size: .875rem; cursor: pointer; }
ul { margin: .4rem 0 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
footer { margin-top: 1.5rem; color: var(--soft); font-size: .8rem; }
@media (max-width: 46rem) {
  body { padding: 1.25rem .8rem 3rem; }
  section { padding: .9rem; }
  .pair { grid-template-columns: 1fr; }
  .facts { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .grid { grid-template-columns: 1fr max-content; gap: .1rem .9rem; }
  .grid > .name { grid-column: 1; max-width: none; }
  .grid > .number { grid-column: 2; }
  .grid > .chart, .grid > .axis { grid-column: 1 / -1; }
  .grid > .chart { margin-bottom: .5rem; }
  .rules > .head, .rules > .extra { display: none; }
}
@media print { body { max-width: none; } section { break-inside: avoid; } }
)css";

}  // namespace mxfp4::cli

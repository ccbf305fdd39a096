"""How the HTML page looks: on paper-wide and phone-wide screens, by day and by night."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --ink: #1d1f22; --soft: #5b626b; --line: #d9dcd8; --tint: #f1f3f0;
  --link: #00598c; --warn: #8a5300; --warn-tint: #fdf3e1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --ink: #e4e6e8; --soft: #a2a9b2; --line: #363b41; --tint: #1f2327;
    --link: #7cc0ef; --warn: #f0bf72; --warn-tint: #2b2416;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 50rem; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; overflow-wrap: break-word; }
h1 { font-size: 2rem; margin: 0 0 1.5rem; }
h2 { font-size: 1.45rem; margin: 0 0 1rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 0.5rem; }
p, ul, ol { margin: 0 0 1rem; }
a { color: var(--link); text-underline-offset: 0.15em; }
nav { padding: 1rem 1.25rem; background: var(--tint); border-radius: 8px; }
nav h2 { font-size: 1rem; margin: 0 0 0.4rem; }
nav ol { margin: 0; padding-left: 1.4rem; }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
section { margin-top: 3rem; padding-top: 2rem; border-top: 1px solid var(--line); }
figure { margin: 2rem 0; }
figure img {
  display: block; max-width: 100%; height: auto; margin: 0 auto; padding: 0.5rem; background: #fff;
  border: 1px solid var(--line); border-radius: 6px;
}
figcaption, .note { color: var(--soft); font-size: 0.9rem; line-height: 1.5; }
figcaption { margin-top: 0.6rem; }
.scroll { overflow-x: auto; margin-bottom: 0.6rem; }
table { border-collapse: collapse; min-width: 50%; font-size: 0.92rem; line-height: 1.4; }
figcaption.title { color: inherit; font-weight: 600; margin: 0 0 0.6rem; }
th, td {
  padding: 0.4rem 1.4rem 0.4rem 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line);
}
th { vertical-align: bottom; border-bottom: 2px solid var(--soft); font-weight: 600; }
th:last-child, td:last-child { padding-right: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number, .whole { white-space: nowrap; }
.note { margin: 0 0 0.4rem; }
.caveat {
  margin: 0.6rem 0 0; padding: 0.5rem 0.8rem; font-size: 0.9rem; line-height: 1.5;
  color: var(--warn); background: var(--warn-tint); border-radius: 6px;
}
code, pre {
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 0.86em; background: var(--tint); border-radius: 4px;
}
code { padding: 0.1em 0.3em; overflow-wrap: anywhere; }
pre { padding: 0.8rem 1rem; line-height: 1.5; white-space: pre-wrap; overflow-wrap: anywhere; }
dl {
  display: grid; grid-template-columns: max-content 1fr; gap: 0.15rem 1.2rem;
  font-size: 0.9rem; margin: 0;
}
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 34rem) {
  body { font-size: 16px; }
  main { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.6rem; }
  h2 { font-size: 1.25rem; }
  th, td { padding-right: 1rem; }
}
@media print {
  section { break-before: page; border: 0; }
  .scroll { overflow: visible; }
}
"""

// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useStore } from "../state/store";
import { theme } from "../state/theme";
import { moment, short_number, t, useLanguage } from "../text/text";

export interface Series {
  name: string;
  values: (number | null)[];
  colour: 1 | 2 | 3 | 4 | 5;
}

/** Lines over time. The picture is for eyes; the legend and a sentence say the same in words. */
export function LineChart({
  title,
  times,
  series,
  unit = short_number,
  height = 190,
}: {
  title: string;
  times: number[];
  series: Series[];
  unit?: (value: number) => string;
  height?: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const look = useStore(theme);
  useLanguage();
  const names = series.map((one) => one.name).join("|");
  useEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--ink-soft"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: `11px ${colour("--sans")}`,
    };
    const at = box.current!;
    const chart = new uPlot(
      {
        width: at.clientWidth,
        height,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 } },
        padding: [8, 18, 0, 0],
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Asia/Tokyo"),
        scales: { y: { range: (_, __, most) => [0, Math.max(most * 1.1, 1)] } },
        axes: [
          { ...axis, size: 28, values: (_, marks) => marks.map((mark) => moment(mark * 1000).slice(11, 16)) },
          { ...axis, size: 76, values: (_, marks) => marks.map((mark) => unit(mark)) },
        ],
        series: [
          {},
          ...series.map((one, index) => ({
            label: one.name,
            stroke: colour(`--series-${one.colour}`),
            width: 1.75,
            points: { show: false },
            ...(index === 0 ? { fill: `${colour(`--series-${one.colour}`)}1c` } : {}),
          })),
        ],
      },
      [times, ...series.map((one) => one.values)],
      at,
    );
    plot.current = chart;
    const watch = new ResizeObserver(() => chart.setSize({ width: at.clientWidth, height }));
    watch.observe(at);
    return () => {
      watch.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [look, names, height]);
  useEffect(() => {
    plot.current?.setData([times, ...series.map((one) => one.values)]);
  });
  const last = (one: Series) => one.values.findLast((value) => value !== null) ?? 0;
  return (
    <figure class="stack">
      <div class="chart" ref={box} aria-hidden="true" />
      <figcaption class="legend">
        <span class="hidden">{t("chart.now", { title })}</span>
        {series.map((one) => (
          <span key={one.name}>
            <Dot colour={one.colour} />
            {one.name} <b>{unit(last(one))}</b>
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function Dot({ colour }: { colour: number }) {
  return <i style={{ background: `var(--series-${colour})` }} aria-hidden="true" />;
}

/** Shares of a whole, the largest first. */
export function Bars({ rows, colour = 1 }: { rows: { name: string; hint?: string; value: number }[]; colour?: number }) {
  const most = Math.max(...rows.map((row) => row.value), 1);
  if (!rows.length) return <p class="empty">{t("state.nothing")}</p>;
  return (
    <ol class="bars">
      {rows.map((row) => (
        <li key={row.name}>
          <span title={row.hint}>{row.name}</span>
          <span class="num">{row.value.toLocaleString()}</span>
          <span class="bar" aria-hidden="true">
            <i style={{ width: `${(100 * row.value) / most}%`, background: `var(--series-${colour})` }} />
          </span>
        </li>
      ))}
    </ol>
  );
}

/** What is left of a time, as a ring. */
export function Ring({ left, whole, text }: { left: number; whole: number; text: string }) {
  const length = 2 * Math.PI * 27;
  return (
    <div class="ring" role="timer" aria-label={text}>
      <svg viewBox="0 0 64 64" aria-hidden="true">
        <circle cx="32" cy="32" r="27" fill="none" stroke="var(--line)" stroke-width="6" />
        <circle
          cx="32"
          cy="32"
          r="27"
          fill="none"
          stroke="var(--warn)"
          stroke-width="6"
          stroke-linecap="round"
          stroke-dasharray={String(length)}
          stroke-dashoffset={String(length * (1 - Math.max(0, left) / Math.max(1, whole)))}
        />
      </svg>
      <b aria-hidden="true">{Math.max(0, Math.ceil(left))}</b>
    </div>
  );
}

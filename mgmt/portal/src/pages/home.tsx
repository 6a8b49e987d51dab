// SPDX-License-Identifier: Apache-2.0
import { useState } from "preact/hooks";
import { api } from "../api/methods";
import type { Dashboard } from "../api/types";
import { useLive } from "../state/live";
import { href } from "../state/route";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { bit_rate, moment, number, short_number, t, t_or } from "../text/text";
import { Card, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { Bars, LineChart } from "../ui/charts";
import { NoticeLine, open_notices } from "./notices";

const SPANS = [600, 1800, 3600];

export function Home() {
  const { tenant, tenants } = useStore(session)!;
  const [seconds, set_seconds] = useState(600);
  const board = useLive(tenant, seconds);
  const notices = useLoad(() => api.notices(tenant), [tenant], 30_000);
  const name = tenants.find((one) => one.service_code === tenant)?.name ?? tenant;
  return (
    <>
      <PageHead title={name} lead={t("home.lead")}>
        <select
          class="input"
          aria-label={t("home.span")}
          value={seconds}
          onChange={(event) => set_seconds(Number(event.currentTarget.value))}
        >
          {SPANS.map((span) => (
            <option key={span} value={span}>
              {t("home.minutes", { n: span / 60 })}
            </option>
          ))}
        </select>
      </PageHead>
      <div class="stack">
        {open_notices(notices.value).map((notice) => (
          <NoticeLine key={notice.id} notice={notice} />
        ))}
        <Loaded from={board}>{(now) => <Board now={now} seconds={seconds} />}</Loaded>
      </div>
    </>
  );
}

function Board({ now, seconds }: { now: Dashboard; seconds: number }) {
  const values = (name: string) => now.series?.find((one) => one.name === name)?.values ?? [];
  const known = (now.series ?? []).map((one) => one.values?.length ?? 0);
  const length = Math.max(Math.ceil(seconds / Math.max(1, now.step_seconds)), ...known); // all of the time, known or not
  const end = Date.parse(now.now) / 1000;
  const times = Array.from({ length }, (_, index) => end - (length - 1 - index) * now.step_seconds);
  const line = (name: string, title: string, colour: 1 | 2 | 3 | 4 | 5) => ({
    name: title,
    values: pad(values(name), length),
    colour,
  });
  const last = (name: string) => values(name).at(-1) ?? 0;
  const traffic = now.series?.some((one) => one.name === "bits_in"); // the provider has switched it on
  return (
    <>
      {!now.counting && <Note tone="warn">{t("home.not_counting")}</Note>}
      <div class="grid figures">
        {traffic && <Figure value={bit_rate(last("bits_in") + last("bits_out"))} text={t("home.traffic")} />}
        <Figure value={number(now.sessions ?? 0)} text={t("home.sessions_of", { most: number(now.sessions_max ?? 0) })} />
        <Figure value={`${short_number(last("connections"))}/s`} text={t("home.connections")} />
        <Figure value={number(Math.round(last("vpn_sessions")))} text={t("home.vpn_sessions")} />
        <Figure value={number(now.violations ?? 0)} text={t("home.violations")} tone={now.quarantined ? "bad" : ""} />
        <Figure value={String(now.revision ?? "–")} text={t("home.revision")} />
      </div>
      <div class="grid">
        {traffic && (
          <Card title={t("home.traffic")}>
            <LineChart
              title={t("home.traffic")}
              times={times}
              unit={bit_rate}
              series={[line("bits_in", t("home.in"), 1), line("bits_out", t("home.out"), 3)]}
            />
          </Card>
        )}
        <Card title={t("home.verdicts")}>
          <LineChart
            title={t("home.verdicts")}
            times={times}
            unit={(value) => `${short_number(value)}/s`}
            series={[line("connections", t("home.allowed"), 3), line("drops", t("home.dropped"), 2)]}
          />
        </Card>
        <Card title={t("home.sessions")}>
          <LineChart
            title={t("home.sessions")}
            times={times}
            series={[line("sessions", t("home.open"), 1), line("vpn_sessions", t("home.vpn_sessions"), 5)]}
          />
        </Card>
        {traffic && (
          <Card title={t("home.packets")}>
            <LineChart
              title={t("home.packets")}
              times={times}
              unit={(value) => `${short_number(value)}/s`}
              series={[line("packets_in", t("home.in"), 1), line("packets_out", t("home.out"), 3)]}
            />
          </Card>
        )}
        <Card
          title={t("home.drops")}
          tools={
            may("logs_read") && (
              <a class="small" href={href("logs", { types: "comm", q: "action=drop" })}>
                {t("home.to_logs")}
              </a>
            )
          }
        >
          <Bars
            colour={2}
            rows={(now.drops ?? [])
              .slice(0, 8)
              .map((one) => ({ name: t_or(`drop.${one.name}`, one.name), hint: one.name, value: one.value ?? 0 }))}
          />
        </Card>
        <Card
          title={t("home.rules")}
          tools={
            may("rules_view") && (
              <a class="small" href={href("rules")}>
                {t("home.to_rules")}
              </a>
            )
          }
        >
          <Bars rows={(now.rules ?? []).slice(0, 8).map((one) => ({ name: one.name, value: one.value ?? 0 }))} />
        </Card>
      </div>
      <p class="small soft">
        {t("home.as_of", { at: moment(now.now) })}
        {now.log_lost ? ` · ${t("home.log_lost", { n: number(now.log_lost) })}` : ""}
      </p>
    </>
  );
}

const pad = (values: number[], length: number): (number | null)[] => [
  ...Array<null>(length - values.length).fill(null),
  ...values,
];

function Figure({ value, text, tone = "" }: { value: string; text: string; tone?: string }) {
  return (
    <div class="card figure">
      <b class={tone}>{value}</b>
      <span>{text}</span>
    </div>
  );
}

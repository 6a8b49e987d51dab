// SPDX-License-Identifier: Apache-2.0
// The streams of records: any condition on any field, pages that do not move, filters kept under a name, and downloads.
import { useEffect, useRef, useState } from "preact/hooks";
import { failure_text, fetch_file, save_blob } from "../api/http";
import { api } from "../api/methods";
import type { Condition, DownloadState, LogRecord } from "../api/types";
import { route } from "../state/route";
import { session } from "../state/session";
import { useStore } from "../state/store";
import { say } from "../state/toasts";
import { bytes, moment, number, t, t_or, useLanguage, type Key } from "../text/text";
import { Badge, Button, Card, Dialog, Note, PageHead, type Tone } from "../ui/basics";
import { CheckField, SelectField, TextField } from "../ui/fields";
import { Table, type Column } from "../ui/table";
import { Collectors } from "./collectors";
import { kept_filters, parse_query, type Kept } from "./log_query";

const TYPES = ["comm", "sec", "vpn", "acl", "devauth", "audit", "loss"] as const;
const SPANS = [3600, 86400, 7 * 86400, 30 * 86400, 90 * 86400];

export function Logs() {
  useLanguage();
  const { tenant } = useStore(session)!;
  const asked = route.get().query;
  const [types, set_types] = useState<string[]>(asked.get("types")?.split(",") ?? ["comm"]);
  const [query, set_query] = useState(asked.get("q") ?? "");
  const [span, set_span] = useState(86400);
  const [records, set_records] = useState<LogRecord[]>([]);
  const [cursor, set_cursor] = useState("");
  const [state, set_state] = useState<"idle" | "busy" | "partial">("idle");
  const [error, set_error] = useState("");
  const [opened, set_opened] = useState<LogRecord | null>(null);
  const [downloading, set_downloading] = useState(false);
  const question = useRef<{ types: string[]; from: string; conditions: Condition[] } | null>(null);

  async function page(from: string, before: LogRecord[]) {
    set_state("busy");
    set_error("");
    try {
      const reply = await api.search(tenant, { ...question.current!, cursor: from, limit: 100 });
      set_records([...before, ...(reply.records ?? [])]);
      set_cursor(reply.cursor ?? "");
      set_state(reply.partial ? "partial" : "idle");
    } catch (failure) {
      set_error(failure_text(failure));
      set_state("idle");
    }
  }
  function search(next = { types, query, span }) {
    const parsed = parse_query(next.query);
    if (parsed.wrong) return set_error(t("logs.wrong", { word: parsed.wrong }));
    question.current = {
      types: next.types,
      from: new Date(Date.now() - next.span * 1000).toISOString(),
      conditions: parsed.conditions,
    };
    void page("", []);
  }
  useEffect(() => search(), [tenant]);
  const toggle = (type: string) =>
    set_types(types.includes(type) ? (types.length > 1 ? types.filter((one) => one !== type) : types) : [...types, type]);
  return (
    <>
      <PageHead title={t("page.logs")} lead={t("logs.lead")}>
        <Button icon="download" onClick={() => set_downloading(true)}>
          {t("logs.download")}
        </Button>
      </PageHead>
      <div class="stack">
        <Card>
          <form
            class="stack"
            onSubmit={(event) => {
              event.preventDefault();
              search();
            }}
          >
            <fieldset class="row">
              <legend class="hidden">{t("logs.streams")}</legend>
              {TYPES.map((type) => (
                <label key={type} class="check">
                  <input type="checkbox" checked={types.includes(type)} onChange={() => toggle(type)} />
                  {t(`stream.${type}` as Key)}
                </label>
              ))}
            </fieldset>
            <div class="row">
              <select
                class="input"
                style={{ width: "auto" }}
                aria-label={t("home.span")}
                value={span}
                onChange={(event) => set_span(Number(event.currentTarget.value))}
              >
                {SPANS.map((one) => (
                  <option key={one} value={one}>
                    {t_or(`logs.span.${one}`, String(one))}
                  </option>
                ))}
              </select>
              <input
                class="input mono"
                style={{ flex: "1 1 260px", width: "auto" }}
                type="search"
                aria-label={t("logs.query")}
                placeholder={t("logs.example")}
                value={query}
                spellcheck={false}
                onInput={(event) => set_query(event.currentTarget.value)}
              />
              <Button type="submit" look="lead" icon="search" disabled={state === "busy"}>
                {t("logs.search")}
              </Button>
            </div>
            <p class="hint small soft">{t("logs.hint")}</p>
            <KeptFilters
              tenant={tenant}
              now={{ types, query, span }}
              onUse={(kept) => {
                set_types(kept.types);
                set_query(kept.query);
                set_span(kept.span);
                search(kept);
              }}
            />
          </form>
        </Card>
        {error && <Note tone="bad">{error}</Note>}
        <Card
          flush
          title={t("logs.found", { n: records.length })}
          tools={state === "partial" && <Badge tone="warn">{t("logs.partial")}</Badge>}
        >
          <Table
            caption={t("page.logs")}
            rows={records}
            columns={columns(types, set_opened)}
            id={(record) => String(record["eid"] ?? `${String(record["type"])}-${String(record["seq"])}`)}
            empty={state === "busy" ? t("state.loading") : t("logs.nothing")}
          />
          {(cursor || state === "partial") && (
            <p class="empty">
              <Button disabled={state === "busy"} onClick={() => void page(cursor, records)}>
                {t("logs.older")}
              </Button>
            </p>
          )}
        </Card>
        <Collectors tenant={tenant} />
      </div>
      {opened && <RecordDialog record={opened} onClose={() => set_opened(null)} />}
      {downloading && <DownloadDialog tenant={tenant} onClose={() => set_downloading(false)} />}
    </>
  );
}

const text = (record: LogRecord, key: string): string => (record[key] === undefined ? "" : String(record[key]));
const end = (ip: string, port: string): string => (!port ? ip : ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`);
const BAD = new Set(["drop", "reject", "deny", "dropped", "fail", "denied", "auth_fail", "locked", "quarantined"]);
const PROTOCOLS: Record<string, string> = { 1: "ICMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "ICMPv6", 132: "SCTP" };

function verdict(record: LogRecord): string {
  return (
    text(
      record,
      record["type"] === "vpn" ? "event" : record["type"] === "audit" || record["type"] === "devauth" ? "result" : "action",
    ) || text(record, "why")
  );
}
function what(record: LogRecord): string {
  switch (record["type"]) {
    case "sec":
      return `${text(record, "event")}${record["binding"] ? ` · ${text(record, "binding")}` : ""}`;
    case "vpn":
      return [text(record, "user"), text(record, "proto"), text(record, "cause")].filter(Boolean).join(" · ");
    case "devauth":
      return [text(record, "device_id"), text(record, "method"), text(record, "cause")].filter(Boolean).join(" · ");
    case "audit":
      return [text(record, "actor"), text(record, "op"), text(record, "obj_name")].filter(Boolean).join(" · ");
    case "loss":
      return t("logs.lost", { n: text(record, "count"), of: text(record, "of") });
    default:
      return [text(record, "rule_name"), text(record, "user")].filter(Boolean).join(" · ") || text(record, "reason");
  }
}

function columns(types: string[], open: (record: LogRecord) => void): Column<LogRecord>[] {
  const tone = (record: LogRecord): Tone => (BAD.has(verdict(record)) ? "bad" : "good");
  return [
    {
      key: "ts",
      title: t("logs.time"),
      header: true,
      cell: (record) => (
        <button type="button" class="button quiet nowrap" onClick={() => open(record)}>
          {moment(text(record, "ts"))}
        </button>
      ),
    },
    ...(types.length > 1
      ? [
          {
            key: "type",
            title: t("logs.stream"),
            cell: (record: LogRecord) => t_or(`stream.${text(record, "type")}`, text(record, "type")),
          },
        ]
      : []),
    {
      key: "verdict",
      title: t("logs.verdict"),
      cell: (record) => <Badge tone={tone(record)}>{t_or(`action.${verdict(record)}`, verdict(record))}</Badge>,
    },
    {
      key: "source",
      title: t("rules.source"),
      cell: (record) => (
        <span class="mono">
          {end(text(record, "src_ip") || text(record, "peer_ip") || text(record, "arp_spa"), text(record, "src_port"))}
        </span>
      ),
    },
    {
      key: "destination",
      title: t("rules.destination"),
      cell: (record) => (
        <span class="mono">
          {end(text(record, "dst_ip") || text(record, "ip4") || text(record, "ip6"), text(record, "dst_port"))}
        </span>
      ),
    },
    { key: "proto", title: t("object.protocol"), cell: (record) => PROTOCOLS[text(record, "proto")] ?? text(record, "proto") },
    { key: "what", title: t("logs.what"), cell: what },
    { key: "count", title: t("logs.count"), number: true, cell: (record) => text(record, "count") },
  ];
}

function RecordDialog({ record, onClose }: { record: LogRecord; onClose: () => void }) {
  return (
    <Dialog
      size="large"
      title={t_or(`stream.${text(record, "type")}`, "")}
      onClose={onClose}
      foot={<Button onClick={onClose}>{t("act.close")}</Button>}
    >
      <dl class="facts">
        {Object.entries(record).map(([key, value]) => (
          <>
            <dt key={key} title={key}>
              {t_or(`field.${key}`, key)}
            </dt>
            <dd class="mono">
              {["ts", "first_ts", "last_ts", "start_ts"].includes(key)
                ? `${moment(String(value))} JST`
                : Array.isArray(value)
                  ? value.join(", ")
                  : String(value)}
            </dd>
          </>
        ))}
      </dl>
    </Dialog>
  );
}

function KeptFilters({ tenant, now, onUse }: { tenant: string; now: Omit<Kept, "name">; onUse: (kept: Kept) => void }) {
  const [name, set_name] = useState("");
  const [list, set_list] = useState(() => kept_filters.read(tenant));
  const write = (next: Kept[]) => {
    kept_filters.write(tenant, next);
    set_list(next);
  };
  return (
    <div class="row">
      {list.map((kept) => (
        <span class="tag" key={kept.name}>
          <button type="button" style={{ width: "auto" }} onClick={() => onUse(kept)}>
            {kept.name}
          </button>
          <button
            type="button"
            aria-label={t("act.remove_one", { name: kept.name })}
            onClick={() => write(list.filter((one) => one.name !== kept.name))}
          >
            ×
          </button>
        </span>
      ))}
      <input
        class="input"
        style={{ width: "260px" }}
        aria-label={t("logs.keep_name")}
        placeholder={t("logs.keep_name")}
        value={name}
        maxLength={40}
        onInput={(event) => set_name(event.currentTarget.value)}
      />
      <Button
        look="quiet"
        icon="plus"
        disabled={!name.trim()}
        onClick={() => {
          write([...list.filter((one) => one.name !== name.trim()), { ...now, name: name.trim() }]);
          set_name("");
        }}
      >
        {t("logs.keep")}
      </Button>
    </div>
  );
}

function DownloadDialog({ tenant, onClose }: { tenant: string; onClose: () => void }) {
  const [what, set_what] = useState("comm");
  const [format, set_format] = useState("csv");
  const [gzip, set_gzip] = useState(true);
  const [from, set_from] = useState("");
  const [to, set_to] = useState("");
  const [got, set_got] = useState<{ bytes: number; token: string } | null>(null);
  const [state, set_state] = useState<DownloadState>({});
  const stop = useRef<AbortController | null>(null);
  const three = what === "ra";
  async function start() {
    stop.current = new AbortController();
    set_got({ bytes: 0, token: "" });
    try {
      const query = {
        types: three ? ["vpn", "acl", "devauth"] : [what],
        window: from && to ? "days" : three ? "past30" : "month",
        ...(from && to ? { first_day: from, last_day: to } : {}),
        format,
        gzip: String(gzip),
      };
      const progress = (size: number, token: string) => set_got({ bytes: size, token });
      const file = await fetch_file(api.download_path(tenant), query, progress, stop.current.signal);
      save_blob(file.name, file.blob);
      if (file.token) {
        const { manifest } = await api.download_state(tenant, file.token);
        if (manifest) save_blob(`${file.name}.manifest.json`, new Blob([manifest]));
      }
      say(t("logs.downloaded", { name: file.name, size: bytes(file.blob.size) }));
      onClose();
    } catch (failure) {
      say(failure_text(failure), "bad");
      set_got(null);
    }
  }
  const token = got?.token ?? "";
  useEffect(() => {
    if (!token) return;
    const timer = setInterval(() => void api.download_state(tenant, token).then(set_state, () => undefined), 1000);
    return () => clearInterval(timer);
  }, [token]);
  useEffect(() => () => stop.current?.abort(), []);
  return (
    <Dialog
      title={t("logs.download")}
      onClose={onClose}
      onSubmit={() => void start()}
      foot={
        <>
          {got ? (
            <Button onClick={() => stop.current?.abort()}>{t("act.stop")}</Button>
          ) : (
            <Button onClick={onClose}>{t("act.cancel")}</Button>
          )}
          <Button type="submit" look="lead" icon="download" disabled={!!got}>
            {t("act.download")}
          </Button>
        </>
      }
    >
      <div class="form">
        <SelectField
          wide
          label={t("logs.stream")}
          value={what}
          onChange={set_what}
          hint={t(three ? "logs.window_past30" : "logs.window_month")}
          options={[
            ...["comm", "sec", "vpn", "acl", "devauth", "audit"].map((value) => ({ value, text: t(`stream.${value}` as Key) })),
            { value: "ra", text: t("logs.three") },
          ]}
        />
        <TextField label={t("logs.from_day")} type="date" value={from} onChange={set_from} hint={t("logs.day_hint")} />
        <TextField label={t("logs.to_day")} type="date" value={to} onChange={set_to} />
        <SelectField
          label={t("logs.format")}
          value={format}
          onChange={set_format}
          options={[
            { value: "csv", text: "CSV" },
            { value: "jsonl", text: "JSON Lines" },
          ]}
        />
        <CheckField label={t("logs.gzip")} value={gzip} onChange={set_gzip} />
        {got && (
          <div class="wide" role="status">
            <progress
              class="progress"
              aria-label={t("logs.download")}
              {...(state.records ? { value: state.records_read ?? 0, max: state.records } : {})}
            />{" "}
            {bytes(got.bytes)}
            {!!state.records && ` · ${number(state.records_read ?? 0)} / ${number(state.records)}`}
          </div>
        )}
      </div>
    </Dialog>
  );
}

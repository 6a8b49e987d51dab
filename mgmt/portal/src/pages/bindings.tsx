// SPDX-License-Identifier: Apache-2.0
// Address enforcement: who may speak where, what was seen instead, and the way out of a quarantine.
import { api, type Row } from "../api/methods";
import { draft } from "../state/draft";
import { href } from "../state/route";
import { may } from "../state/session";
import { useStore } from "../state/store";
import { moment, number, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Card, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { Table } from "../ui/table";

export function Bindings() {
  useLanguage();
  const one = useStore(draft)!;
  const table = useLoad(() => api.table(one.tenant, "bindings"), [one.tenant], 10_000);
  const seen = useLoad(
    () =>
      may("logs_read")
        ? api.search(one.tenant, {
            types: ["sec"],
            limit: 100,
            conditions: [{ field: "cat", test: "equal", values: ["address"] }],
          })
        : Promise.resolve({ records: [] }),
    [one.tenant],
    30_000,
  );
  const last = (name: string) => seen.value?.records?.find((record) => record["binding"] === name);
  const shared = (one.document.ports ?? []).filter((port) => port["enforcement"] === "segment");
  return (
    <>
      <PageHead title={t("page.bindings")} lead={t("bindings.lead")} />
      <div class="stack">
        {shared.length > 0 && (
          <Note tone="warn">{t("bindings.segment", { names: shared.map((port) => port.name).join(", ") })}</Note>
        )}
        <Loaded from={table}>
          {({ rows, note }) => (
            <Card flush title={t("bindings.assigned")}>
              {note && <Note tone="warn">{note}</Note>}
              <Table<Row>
                caption={t("page.bindings")}
                rows={rows}
                id={(row) => row["name"] ?? ""}
                columns={[
                  {
                    key: "name",
                    title: t("form.name"),
                    header: true,
                    order: (row) => row["name"] ?? "",
                    cell: (row) => row["name"],
                  },
                  { key: "port", title: t("bindings.port"), order: (row) => row["port"] ?? "", cell: (row) => row["port"] },
                  {
                    key: "state",
                    title: t("form.state"),
                    cell: (row) => (
                      <Badge tone={row["state"] === "active" ? "good" : row["state"] === "quarantined" ? "bad" : ""}>
                        {t_or(`binding.${row["state"]}`, row["state"] ?? "")}
                      </Badge>
                    ),
                  },
                  {
                    key: "pairs",
                    title: t("bindings.pairs"),
                    cell: (row) => (
                      <span class="mono">
                        {(row["pairs"] ?? "").split(", ").map((pair) => (
                          <div key={pair}>{pair}</div>
                        ))}
                      </span>
                    ),
                  },
                  {
                    key: "violations",
                    title: t("bindings.violations"),
                    number: true,
                    order: (row) => Number(row["violations"] ?? 0),
                    cell: (row) => (
                      <span class={Number(row["violations"]) ? "bad" : "soft"}>{number(Number(row["violations"] ?? 0))}</span>
                    ),
                  },
                  { key: "last", title: t("bindings.last"), cell: (row) => <LastSeen record={last(row["name"] ?? "")} /> },
                  {
                    key: "acts",
                    title: t("rules.acts"),
                    hide_title: true,
                    cell: (row) =>
                      row["state"] === "quarantined" &&
                      may("quarantine_end") && (
                        <Act
                          look="quiet"
                          done={t("bindings.released", { name: row["name"] ?? "" })}
                          run={async () => {
                            await api.end_quarantine(one.tenant, row["name"]!);
                            table.again();
                          }}
                        >
                          {t("bindings.release")}
                        </Act>
                      ),
                  },
                ]}
              />
            </Card>
          )}
        </Loaded>
        {may("logs_read") && (
          <p>
            <a href={href("logs", { types: "sec", q: "cat=address" })}>{t("bindings.to_logs")}</a>
          </p>
        )}
      </div>
    </>
  );
}

function LastSeen({ record }: { record: Record<string, unknown> | undefined }) {
  if (!record) return <span class="soft">–</span>;
  const seen = [record["eth_src"], record["src_ip"] ?? record["arp_spa"] ?? record["nd_target"]].filter(Boolean).join(" ");
  return (
    <>
      <Badge tone="bad">{String(record["event"])}</Badge> <span class="small nowrap">{moment(String(record["ts"]))}</span>
      <div class="small">
        {t("bindings.claimed")} <span class="mono">{seen}</span>
      </div>
    </>
  );
}

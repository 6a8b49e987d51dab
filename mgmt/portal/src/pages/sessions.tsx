// SPDX-License-Identifier: Apache-2.0
// Who is in by remote access, and what passes the firewall now.
import { useState } from "preact/hooks";
import { api, type Row } from "../api/methods";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { bytes, duration, number, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, Confirm, Loaded, Note, PageHead, Tabs, useLoad } from "../ui/basics";
import { Table } from "../ui/table";

export function Sessions() {
  useLanguage();
  const [tab, set_tab] = useState<"vpn" | "flows">("vpn");
  return (
    <>
      <PageHead title={t("page.sessions")} lead={t("sessions.lead")} />
      <Tabs
        label={t("page.sessions")}
        value={tab}
        onChange={set_tab}
        tabs={[
          { value: "vpn", text: t("sessions.vpn") },
          ...(may("logs_read") ? [{ value: "flows" as const, text: t("sessions.flows") }] : []),
        ]}
      />
      {tab === "vpn" ? <VpnSessions /> : <Flows />}
    </>
  );
}

function VpnSessions() {
  const { tenant } = useStore(session)!;
  const table = useLoad(() => api.table(tenant, "vpn/sessions"), [tenant], 5000);
  const [ending, set_ending] = useState<Row | null>(null);
  return (
    <Loaded from={table}>
      {({ rows, note }) => (
        <Card flush title={t("sessions.count", { n: rows.length })}>
          {note && <Note>{note}</Note>}
          <Table<Row>
            caption={t("sessions.vpn")}
            rows={rows}
            id={(row) => row["vpn_sid"] ?? ""}
            empty={t("sessions.nobody")}
            columns={[
              {
                key: "user",
                title: t("remote.user"),
                header: true,
                order: (row) => row["user"] ?? "",
                cell: (row) => (
                  <>
                    {row["user"]} {row["state"] === "left" && <Badge tone="warn">{t("sessions.left")}</Badge>}
                  </>
                ),
              },
              {
                key: "group",
                title: t("remote.group"),
                order: (row) => row["user_group"] ?? "",
                cell: (row) => row["user_group"],
              },
              {
                key: "address",
                title: t("remote.address"),
                cell: (row) => (
                  <span class="mono">
                    {[row["ip4"], row["ip6"]].filter(Boolean).map((one) => (
                      <div key={one}>{one}</div>
                    ))}
                  </span>
                ),
              },
              {
                key: "peer",
                title: t("sessions.from"),
                order: (row) => row["peer"] ?? "",
                cell: (row) => <span class="mono">{row["peer"]}</span>,
              },
              { key: "gateway", title: t("sessions.gateway"), cell: (row) => row["gateway"] },
              {
                key: "client",
                title: t("gateways.client"),
                cell: (row) => (
                  <>
                    {row["client"] || "–"}
                    <span class="suite small soft mono">{row["ike_suite"]}</span>
                  </>
                ),
              },
              {
                key: "since",
                title: t("sessions.since"),
                order: (row) => row["since"] ?? "",
                cell: (row) => <span class="nowrap">{row["since"]}</span>,
              },
              {
                key: "acts",
                title: t("rules.acts"),
                hide_title: true,
                cell: (row) =>
                  may("sessions_end") && (
                    <Button look="danger" onClick={() => set_ending(row)}>
                      {t("sessions.disconnect")}
                      <span class="hidden"> {row["user"]}</span>
                    </Button>
                  ),
              },
            ]}
          />
          {ending && (
            <Confirm
              title={t("sessions.disconnect_one", { name: ending["user"] ?? "" })}
              text={t("sessions.disconnect_text")}
              act={t("sessions.disconnect")}
              onClose={() => set_ending(null)}
              onYes={async () => {
                await api.disconnect(tenant, ending["vpn_sid"]!);
                table.again();
              }}
            />
          )}
        </Card>
      )}
    </Loaded>
  );
}

function Flows() {
  const { tenant } = useStore(session)!;
  const table = useLoad(() => api.table(tenant, "sessions", { limit: 500 }), [tenant], 5000);
  return (
    <Loaded from={table}>
      {({ rows, note }) => (
        <Card
          flush
          title={t("sessions.flows_count", { n: rows.length })}
          tools={
            <Act look="quiet" run={async () => table.again()}>
              {t("act.refresh")}
            </Act>
          }
        >
          {note && <Note>{note}</Note>}
          <Table<Row>
            caption={t("sessions.flows")}
            rows={rows}
            id={(row) => row["flow_id"] ?? ""}
            columns={[
              {
                key: "source",
                title: t("rules.source"),
                header: true,
                order: (row) => row["source"] ?? "",
                cell: (row) => <span class="mono">{row["source"]}</span>,
              },
              {
                key: "destination",
                title: t("rules.destination"),
                order: (row) => row["destination"] ?? "",
                cell: (row) => <span class="mono">{row["destination"]}</span>,
              },
              {
                key: "protocol",
                title: t("object.protocol"),
                order: (row) => row["protocol"] ?? "",
                cell: (row) => row["protocol"],
              },
              { key: "state", title: t("form.state"), cell: (row) => t_or(`flow.${row["state"]}`, row["state"] ?? "") },
              { key: "rule", title: t("sessions.rule"), order: (row) => row["rule"] ?? "", cell: (row) => row["rule"] },
              {
                key: "there",
                title: t("sessions.there"),
                number: true,
                order: (row) => Number(row["bytes_forward"]),
                cell: (row) => bytes(Number(row["bytes_forward"])),
              },
              {
                key: "back",
                title: t("sessions.back"),
                number: true,
                order: (row) => Number(row["bytes_reverse"]),
                cell: (row) => bytes(Number(row["bytes_reverse"])),
              },
              {
                key: "packets",
                title: t("home.packets"),
                number: true,
                order: (row) => Number(row["packets_forward"]),
                cell: (row) => number(Number(row["packets_forward"]) + Number(row["packets_reverse"])),
              },
              {
                key: "age",
                title: t("sessions.age"),
                number: true,
                order: (row) => Number(row["age_ms"]),
                cell: (row) => duration(Number(row["age_ms"]) / 1000),
              },
            ]}
          />
        </Card>
      )}
    </Loaded>
  );
}

// SPDX-License-Identifier: Apache-2.0
// A remote user's own page: password, profile, devices, where he is in, and what was recorded of his logins.
import { useState } from "preact/hooks";
import { save_blob } from "../api/http";
import { api } from "../api/methods";
import { nt_hash } from "../api/nt_hash";
import type { Self, SelfDevice, TableRow } from "../api/types";
import { session } from "../state/session";
import { useStore } from "../state/store";
import { moment, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, closing, Dialog, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { SelectField, TextField } from "../ui/fields";
import { Table } from "../ui/table";

const CLIENTS = ["windows", "apple", "android", "strongswan", "networkmanager"];

export function OwnAccess() {
  useLanguage();
  const { tenant } = useStore(session)!;
  const self = useLoad(() => api.self(tenant), [tenant], 10_000);
  return (
    <>
      <PageHead title={t("page.own_access")} lead={t("own.lead")} />
      <Loaded from={self}>
        {(now) => (
          <div class="stack">
            {!now.known && <Note tone="warn">{t("own.unknown", { user: now.user })}</Note>}
            {now.suspended && <Note tone="warn">{t("reach.suspended")}</Note>}
            {now.known && <Parts tenant={tenant} now={now} again={self.again} />}
            <Connections tenant={tenant} />
          </div>
        )}
      </Loaded>
    </>
  );
}

function Parts({ tenant, now, again }: { tenant: string; now: Self; again: () => void }) {
  return (
    <>
      <div class="grid">
        <Card title={now.user}>
          <dl class="facts">
            <dt>{t("remote.groups")}</dt>
            <dd>{now.groups?.join(", ") || "–"}</dd>
            <dt>{t("page.gateways")}</dt>
            <dd>
              {(now.gateways ?? []).map((one) => (
                <div key={one.name}>
                  {one.name} <span class="soft mono">{one.identity}</span>
                </div>
              ))}
            </dd>
          </dl>
        </Card>
        <Password tenant={tenant} set={!!now.password} again={again} />
        <Profile tenant={tenant} now={now} />
      </div>
      <Devices tenant={tenant} now={now} again={again} />
      <Sessions tenant={tenant} now={now} again={again} />
    </>
  );
}

function Password({ tenant, set, again }: { tenant: string; set: boolean; again: () => void }) {
  const [first, set_first] = useState("");
  const [second, set_second] = useState("");
  const differs = second !== "" && first !== second;
  return (
    <Card title={t("own.password")}>
      <div class="stack">
        <p class="soft">{t(set ? "own.password_text" : "own.password_none")}</p>
        <TextField
          label={t("sign_in.password_new")}
          type="password"
          autoComplete="new-password"
          value={first}
          onChange={set_first}
          hint={t("sign_in.password_rule")}
        />
        <TextField
          label={t("sign_in.password_again")}
          type="password"
          autoComplete="new-password"
          value={second}
          onChange={set_second}
          error={differs ? t("sign_in.password_differs") : ""}
        />
        <div class="row end">
          <Act
            look="lead"
            disabled={[...first].length < 12 || first !== second}
            done={t("own.password_done")}
            run={async () => {
              await api.set_vpn_password(tenant, nt_hash(first));
              set_first("");
              set_second("");
              again();
            }}
          >
            {t("act.save")}
          </Act>
        </div>
      </div>
    </Card>
  );
}

function Profile({ tenant, now }: { tenant: string; now: Self }) {
  const gateways = now.gateways ?? [];
  const [gateway, set_gateway] = useState(gateways[0]?.name ?? "");
  const [client, set_client] = useState("windows");
  return (
    <Card title={t("gateways.profile")}>
      <div class="form">
        <p class="wide soft">{t("gateways.profile_text")}</p>
        <SelectField
          label={t("reach.gateway")}
          value={gateway}
          onChange={set_gateway}
          options={gateways.map((one) => ({ value: one.name, text: one.name }))}
        />
        <SelectField
          label={t("gateways.client")}
          value={client}
          onChange={set_client}
          options={CLIENTS.map((value) => ({ value, text: t_or(`client.${value}`, value) }))}
        />
        <div class="wide row end">
          <Act
            icon="download"
            disabled={!gateway}
            run={async () => {
              const file = await api.own_profile(tenant, gateway, client);
              save_blob(file.file_name, new Blob([file.text], { type: file.media_type }));
            }}
          >
            {t("act.download")}
          </Act>
        </div>
      </div>
    </Card>
  );
}

function Devices({ tenant, now, again }: { tenant: string; now: Self; again: () => void }) {
  const [adding, set_adding] = useState(false);
  return (
    <Card
      flush
      title={t("page.devices")}
      tools={
        <Button look="quiet" icon="plus" onClick={() => set_adding(true)}>
          {t("own.device_new")}
        </Button>
      }
    >
      <Table<SelfDevice>
        caption={t("page.devices")}
        rows={now.devices ?? []}
        id={(one) => one.name}
        empty={t("own.no_device")}
        columns={[
          { key: "name", title: t("form.name"), header: true, order: (one) => one.name, cell: (one) => one.label || one.name },
          { key: "os", title: t("remote.os"), cell: (one) => one.os || "–" },
          {
            key: "state",
            title: t("form.state"),
            cell: (one) => (
              <Badge tone={one.state === "approved" ? "good" : one.state === "requested" ? "warn" : "bad"}>
                {t_or(`own_state.${one.state}`, one.state)}
              </Badge>
            ),
          },
          { key: "until", title: t("own.until"), cell: (one) => one.valid_until || "–" },
        ]}
      />
      {adding && (
        <DeviceDialog
          tenant={tenant}
          onClose={() => set_adding(false)}
          onDone={() => {
            set_adding(false);
            again();
          }}
        />
      )}
    </Card>
  );
}

function DeviceDialog({ tenant, onClose, onDone }: { tenant: string; onClose: () => void; onDone: () => void }) {
  const [form, set_form] = useState({ name: "", label: "", os: "", serial: "", identifier: "" });
  const put = (values: Partial<typeof form>) => set_form((old) => ({ ...old, ...values }));
  async function save() {
    await closing(api.request_device(tenant, form), onClose);
    onDone();
  }
  return (
    <Dialog
      title={t("own.device_new")}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act look="lead" disabled={!form.name.trim() || !form.serial.trim() === !form.identifier.trim()} run={save}>
            {t("own.device_ask")}
          </Act>
        </>
      }
    >
      <div class="form">
        <p class="wide soft">{t("own.device_text")}</p>
        <TextField label={t("form.name")} value={form.name} onChange={(name) => put({ name })} maxLength={64} focus />
        <TextField label={t("own.label")} value={form.label} onChange={(label) => put({ label })} maxLength={64} />
        <TextField label={t("remote.os")} value={form.os} onChange={(os) => put({ os })} maxLength={64} />
        <TextField label={t("own.serial")} value={form.serial} onChange={(serial) => put({ serial })} placeholder="0a1b2c" />
        <TextField
          label={t("own.identifier")}
          hint={t("own.identifier_hint")}
          value={form.identifier}
          onChange={(identifier) => put({ identifier })}
        />
      </div>
    </Dialog>
  );
}

function Sessions({ tenant, now, again }: { tenant: string; now: Self; again: () => void }) {
  const cells = (row: TableRow) => row.cells ?? {};
  return (
    <Card flush title={t("own.sessions")}>
      {now.note && <Note>{now.note}</Note>}
      <Table<TableRow>
        caption={t("own.sessions")}
        rows={now.sessions ?? []}
        id={(row) => cells(row)["vpn_sid"] ?? ""}
        empty={t("sessions.nobody")}
        columns={[
          { key: "peer", title: t("sessions.from"), header: true, cell: (row) => <span class="mono">{cells(row)["peer"]}</span> },
          {
            key: "address",
            title: t("remote.address"),
            cell: (row) => <span class="mono">{[cells(row)["ip4"], cells(row)["ip6"]].filter(Boolean).join(" ")}</span>,
          },
          { key: "gateway", title: t("sessions.gateway"), cell: (row) => cells(row)["gateway"] },
          { key: "client", title: t("gateways.client"), cell: (row) => cells(row)["client"] || "–" },
          { key: "since", title: t("sessions.since"), cell: (row) => <span class="nowrap">{cells(row)["since"]}</span> },
          {
            key: "acts",
            title: t("rules.acts"),
            hide_title: true,
            cell: (row) => (
              <Act
                look="danger"
                run={async () => {
                  await api.end_own_session(tenant, cells(row)["vpn_sid"] ?? "");
                  again();
                }}
              >
                {t("sessions.disconnect")}
                <span class="hidden"> {cells(row)["peer"]}</span>
              </Act>
            ),
          },
        ]}
      />
    </Card>
  );
}

function Connections({ tenant }: { tenant: string }) {
  const [cursors, set_cursors] = useState<string[]>([""]);
  const page = useLoad(() => api.own_connections(tenant, cursors.at(-1)!), [tenant, cursors.length]);
  return (
    <Loaded from={page}>
      {({ records = [], cursor }) => (
        <Card
          flush
          title={t("own.connections")}
          tools={
            <div class="row">
              {cursors.length > 1 && (
                <Button look="quiet" onClick={() => set_cursors(cursors.slice(0, -1))}>
                  {t("own.newer")}
                </Button>
              )}
              {cursor && (
                <Button look="quiet" onClick={() => set_cursors([...cursors, cursor])}>
                  {t("own.older")}
                </Button>
              )}
            </div>
          }
        >
          <Table
            caption={t("own.connections")}
            rows={records}
            id={(one) => String(one["eid"] ?? one["seq"])}
            empty={t("own.no_connection")}
            columns={[
              { key: "at", title: t("own.at"), header: true, cell: (one) => moment(String(one["ts"] ?? "")) },
              { key: "event", title: t("own.event"), cell: (one) => t_or(`own_event.${one["event"]}`, String(one["event"])) },
              { key: "proto", title: t("object.protocol"), cell: (one) => String(one["proto"] ?? "") },
              { key: "peer", title: t("sessions.from"), cell: (one) => <span class="mono">{String(one["peer_ip"] ?? "")}</span> },
              { key: "why", title: t("own.why"), cell: (one) => String(one["msg"] ?? one["cause"] ?? "") },
            ]}
          />
        </Card>
      )}
    </Loaded>
  );
}

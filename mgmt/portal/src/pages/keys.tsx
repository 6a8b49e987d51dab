// SPDX-License-Identifier: Apache-2.0
// Keys of programs: made here, shown once, ended here.
import { useState } from "preact/hooks";
import { api } from "../api/methods";
import type { ApiKey, ApiKeySecret } from "../api/types";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { moment, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, closing, Confirm, Dialog, IconButton, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { CheckField, ListField, SelectField, TextField } from "../ui/fields";
import { Table } from "../ui/table";

const DAYS = [30, 90, 180, 365];

export function Keys() {
  useLanguage();
  const here = useStore(session)!;
  const tenant = may("staff_manage") ? "" : here.tenant; // the provider's own
  const list = useLoad(() => (tenant ? api.keys(tenant) : api.platform_keys()), [tenant]);
  const [fresh, set_fresh] = useState(false);
  const [made, set_made] = useState<ApiKeySecret | null>(null);
  const [ending, set_ending] = useState<ApiKey | null>(null);
  return (
    <>
      <PageHead title={t("page.keys")} lead={t("keys.lead")} />
      <Loaded from={list}>
        {({ keys = [], roles = [] }) => (
          <Card
            flush
            title={t("keys.count", { n: keys.length })}
            tools={
              <Button look="quiet" icon="plus" onClick={() => set_fresh(true)}>
                {t("keys.new")}
              </Button>
            }
          >
            <Table<ApiKey>
              caption={t("page.keys")}
              rows={keys}
              id={(one) => one.id}
              columns={[
                {
                  key: "name",
                  title: t("form.name"),
                  header: true,
                  order: (one) => one.name,
                  cell: (one) => (
                    <>
                      {one.name}
                      <div class="small soft">{one.created_by}</div>
                    </>
                  ),
                },
                {
                  key: "role",
                  title: t("accounts.role"),
                  cell: (one) => (
                    <span class="clauses">
                      <span class="nowrap">{t_or(`role.${one.role}`, one.role)}</span>
                      {one.read_only && <Badge>{t("keys.read_only")}</Badge>}
                      {one.certificate && <Badge tone="lead">{t("keys.certificate")}</Badge>}
                    </span>
                  ),
                },
                {
                  key: "sources",
                  title: t("accounts.sources"),
                  cell: (one) => <span class="mono">{one.sources?.join(", ") || t("accounts.anywhere")}</span>,
                },
                {
                  key: "until",
                  title: t("keys.until"),
                  order: (one) => one.valid_until,
                  cell: (one) => (
                    <span class="nowrap">
                      {moment(one.valid_until)} {one.expired && <Badge tone="bad">{t("keys.expired")}</Badge>}
                    </span>
                  ),
                },
                {
                  key: "last",
                  title: t("keys.last"),
                  cell: (one) => (
                    <>
                      <span class="nowrap">{moment(one.last_use)}</span>
                      <div class="small soft mono">{one.last_source}</div>
                    </>
                  ),
                },
                {
                  key: "acts",
                  title: t("rules.acts"),
                  hide_title: true,
                  cell: (one) => (
                    <div class="row-acts">
                      <IconButton icon="trash" label={t("keys.revoke", { name: one.name })} onClick={() => set_ending(one)} />
                    </div>
                  ),
                },
              ]}
            />
            {fresh && (
              <KeyForm
                roles={roles}
                onClose={() => set_fresh(false)}
                onDone={(secret) => {
                  set_fresh(false);
                  set_made(secret);
                  list.again();
                }}
              />
            )}
            {ending && (
              <Confirm
                title={t("keys.revoke", { name: ending.name })}
                text={t("keys.revoke_text")}
                act={t("act.remove")}
                onClose={() => set_ending(null)}
                onYes={async () => {
                  await (tenant ? api.revoke_key(tenant, ending.id) : api.revoke_platform_key(ending.id));
                  list.again();
                }}
              />
            )}
            {made && <KeyDialog made={made} onClose={() => set_made(null)} />}
          </Card>
        )}
      </Loaded>
    </>
  );
}

export function KeyDialog({ made, onClose }: { made: ApiKeySecret; onClose: () => void }) {
  return (
    <Dialog
      title={t("keys.made", { name: made.key.name })}
      onClose={onClose}
      foot={<Button onClick={onClose}>{t("act.close")}</Button>}
    >
      {made.secret ? (
        <>
          <Note tone="warn">{t("keys.once")}</Note>
          <TextField label={t("keys.secret")} value={made.secret} onChange={() => undefined} readOnly />
        </>
      ) : (
        <Note tone="good">{t("keys.by_certificate")}</Note>
      )}
    </Dialog>
  );
}

function KeyForm({
  roles,
  onClose,
  onDone,
}: {
  roles: string[];
  onClose: () => void;
  onDone: (made: ApiKeySecret) => void;
}) {
  const here = useStore(session)!;
  const tenant = may("staff_manage") ? "" : here.tenant; // the provider's own
  const [now, set] = useState({
    name: "",
    role: roles.includes("read") ? "read" : (roles[0] ?? ""),
    days: "90",
    read_only: false,
    sources: [] as string[],
    certificate: "",
    certificate_alone: false,
  });
  const put = (values: Partial<typeof now>) => set((old) => ({ ...old, ...values }));
  async function save() {
    const { days, ...key } = now;
    const valid_until = new Date(Date.now() + Number(days) * 86_400_000).toISOString();
    const made = tenant ? api.add_key(tenant, { ...key, valid_until }) : api.add_platform_key({ ...key, valid_until });
    onDone(await closing(made, onClose));
  }
  return (
    <Dialog
      title={t("keys.new")}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act look="lead" disabled={!now.name.trim()} run={save}>
            {t("keys.make")}
          </Act>
        </>
      }
    >
      <div class="form">
        <TextField label={t("form.name")} value={now.name} onChange={(name) => put({ name })} maxLength={64} focus />
        <SelectField
          label={t("accounts.role")}
          value={now.role}
          onChange={(role) => put({ role })}
          options={roles.map((value) => ({ value, text: t_or(`role.${value}`, value) }))}
        />
        <SelectField
          label={t("keys.until")}
          value={now.days}
          onChange={(days) => put({ days })}
          options={DAYS.map((n) => ({ value: String(n), text: t("keys.days", { n }) }))}
        />
        <CheckField label={t("keys.read_only")} value={now.read_only} onChange={(read_only) => put({ read_only })} />
        <ListField
          wide
          label={t("accounts.sources")}
          hint={t("accounts.sources_hint")}
          value={now.sources}
          onChange={(sources) => put({ sources })}
          placeholder="198.51.100.0/24"
        />
        <TextField
          wide
          label={t("keys.certificate")}
          hint={t("keys.certificate_hint")}
          value={now.certificate}
          onChange={(certificate) => put({ certificate })}
          maxLength={95}
        />
        {now.certificate && (
          <CheckField
            wide
            label={t("keys.alone")}
            value={now.certificate_alone}
            onChange={(certificate_alone) => put({ certificate_alone })}
          />
        )}
      </div>
    </Dialog>
  );
}

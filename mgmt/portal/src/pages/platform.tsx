// SPDX-License-Identifier: Apache-2.0
// The provider's own pages: the unit, its tenants by their use, and the provider's people. No tenant's content is here.
import { useState } from "preact/hooks";
import { api, type Row } from "../api/methods";
import { look_at, may, session } from "../state/session";
import { go } from "../state/route";
import { useStore } from "../state/store";
import { number, t, t_or, useLanguage } from "../text/text";
import { Act, Button, Card, Dialog, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { TextField } from "../ui/fields";
import { Table } from "../ui/table";
import { AccountTable, InvitationDialog } from "./accounts";
import type { Invitation } from "../api/types";

const FIGURES = ["sessions", "packets received", "packets sent", "packets dropped"];

export function Platform() {
  useLanguage();
  const status = useLoad(api.status, [], 5000);
  const tenants = useLoad(api.tenant_use, [], 10_000);
  const clock = useLoad(api.clock, [], 10_000);
  const { tenants: open } = useStore(session)!;
  return (
    <>
      <PageHead title={t("page.platform")} lead={t("platform.lead")} />
      <div class="stack">
        {clock.value && (
          <Note tone={clock.value.synchronised ? "good" : "warn"}>
            {t(clock.value.synchronised ? "clock.kept" : "clock.free", { ms: number(Math.ceil(clock.value.error_milliseconds ?? 0)) })}
          </Note>
        )}
        <Loaded from={status}>
          {({ rows, note }) => {
            const value = (item: string) => rows.find((row) => row["item"] === item)?.["value"] ?? "–";
            return (
              <>
                {note && <Note tone="warn">{note}</Note>}
                {value("forwarding") !== "yes" && <Note tone="bad">{t("platform.not_forwarding")}</Note>}
                <div class="grid figures">
                  {FIGURES.map((item) => (
                    <div class="card figure" key={item}>
                      <b>{/^\d+$/.test(value(item)) ? number(Number(value(item))) : value(item).replace(/ of .*/, "")}</b>
                      <span>{t_or(`status.${item}`, item)}</span>
                    </div>
                  ))}
                </div>
                <Card title={t("platform.status")}>
                  <dl class="facts">
                    {rows.map((row) => (
                      <>
                        <dt key={row["item"]}>{t_or(`status.${row["item"]}`, row["item"] ?? "")}</dt>
                        <dd class="mono">{row["value"]}</dd>
                      </>
                    ))}
                  </dl>
                </Card>
              </>
            );
          }}
        </Loaded>
        <Loaded from={tenants}>
          {({ rows }) => (
            <Card flush title={t("platform.tenants", { n: rows.length })}>
              <Table<Row>
                caption={t("platform.tenants", { n: rows.length })}
                rows={rows}
                id={(row) => row["service_code"] ?? ""}
                columns={[
                  {
                    key: "code",
                    title: t("platform.code"),
                    header: true,
                    order: (row) => row["service_code"] ?? "",
                    cell: (row) => <span class="mono">{row["service_code"]}</span>,
                  },
                  { key: "name", title: t("form.name"), order: (row) => row["name"] ?? "", cell: (row) => row["name"] },
                  ...["sessions", "sessions_max", "over_quota", "ports", "bindings", "rules", "log_lost"].map((key) => ({
                    key,
                    title: t_or(`platform.${key}`, key),
                    number: true,
                    order: (row: Row) => Number(row[key] ?? 0),
                    cell: (row: Row) => number(Number(row[key] ?? 0)),
                  })),
                  {
                    key: "acts",
                    title: t("rules.acts"),
                    hide_title: true,
                    cell: (row) =>
                      open.some((one) => one.service_code === row["service_code"]) ? (
                        <Button
                          look="quiet"
                          onClick={() => {
                            look_at(row["service_code"]!);
                            go("");
                          }}
                        >
                          {t("platform.open")}
                          <span class="hidden"> {row["name"]}</span>
                        </Button>
                      ) : (
                        <span class="soft small nowrap">{t("platform.no_consent")}</span>
                      ),
                  },
                ]}
              />
            </Card>
          )}
        </Loaded>
      </div>
    </>
  );
}

export function Staff() {
  useLanguage();
  const [owner, set_owner] = useState(false);
  const [invitation, set_invitation] = useState<Invitation | null>(null);
  return (
    <>
      <PageHead title={t("page.staff")} lead={t("staff.lead")}>
        {may("staff_manage") && (
          <Button icon="plus" onClick={() => set_owner(true)}>
            {t("staff.owner")}
          </Button>
        )}
      </PageHead>
      <AccountTable
        id="staff"
        suffix=""
        acts={{
          list: api.staff,
          add: (id, account) => api.add_staff(id, account, ""),
          remove: api.remove_staff,
          reissue: api.reissue_staff,
          unlock: api.unlock_staff,
        }}
      />
      {owner && (
        <OwnerDialog
          onClose={() => set_owner(false)}
          onDone={(done) => {
            set_owner(false);
            set_invitation(done);
          }}
        />
      )}
      {invitation && <InvitationDialog invitation={invitation} onClose={() => set_invitation(null)} />}
    </>
  );
}

/** A tenant's first account, from which it makes its own. */
function OwnerDialog({ onClose, onDone }: { onClose: () => void; onDone: (done: Invitation) => void }) {
  const [code, set_code] = useState("");
  const [id, set_id] = useState("");
  return (
    <Dialog
      title={t("staff.owner")}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act
            look="lead"
            disabled={!code || !id}
            run={async () => onDone(await api.add_staff(id.trim(), { role: "owner" }, code.trim()))}
          >
            {t("accounts.invite")}
          </Act>
        </>
      }
    >
      <div class="form">
        <TextField label={t("platform.code")} value={code} onChange={set_code} placeholder="mfw00001234" focus />
        <TextField label={t("sign_in.account")} value={id} onChange={set_id} hint={`${id || "name"}@${code}`} />
      </div>
    </Dialog>
  );
}

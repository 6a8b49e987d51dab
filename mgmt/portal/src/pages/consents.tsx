// SPDX-License-Identifier: Apache-2.0
// Whether the provider's support may look at this tenant: the tenant says so, for hours, and sees each use.
import { useState } from "preact/hooks";
import { api } from "../api/methods";
import type { Consent } from "../api/types";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { moment, number, t, useLanguage } from "../text/text";
import { Act, Badge, Card, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { CheckField, SelectField, TextField } from "../ui/fields";
import { Table } from "../ui/table";

export function Consents() {
  useLanguage();
  const { tenant } = useStore(session)!;
  const list = useLoad(() => api.consents(tenant), [tenant], 15_000);
  const [now, set] = useState({ minutes: "60", ticket: "", reason: "", edit: false });
  const put = (values: Partial<typeof now>) => set((old) => ({ ...old, ...values }));
  return (
    <>
      <PageHead title={t("page.consents")} lead={t("consents.lead")} />
      <div class="stack">
        {may("consent") && (
          <Card title={t("consents.new")}>
            <div class="form">
              <TextField label={t("consents.ticket")} value={now.ticket} onChange={(ticket) => put({ ticket })} maxLength={32} />
              <SelectField
                label={t("consents.time")}
                value={now.minutes}
                onChange={(minutes) => put({ minutes })}
                options={[30, 60, 120, 240].map((n) => ({ value: String(n), text: t("time.minutes", { n }) }))}
              />
              <TextField
                wide
                label={t("consents.reason")}
                value={now.reason}
                onChange={(reason) => put({ reason })}
                maxLength={256}
              />
              <CheckField
                label={t("consents.edit")}
                hint={t("consents.edit_hint")}
                value={now.edit}
                onChange={(edit) => put({ edit })}
              />
              <div class="row end">
                <Act
                  look="lead"
                  icon="consent"
                  disabled={!now.ticket.trim()}
                  done={t("consents.granted")}
                  run={async () => {
                    await api.grant_consent(tenant, { ...now, minutes: Number(now.minutes) });
                    set({ minutes: "60", ticket: "", reason: "", edit: false });
                    list.again();
                  }}
                >
                  {t("consents.grant")}
                </Act>
              </div>
            </div>
          </Card>
        )}
        <Loaded from={list}>
          {({ consents = [] }) => (
            <Card flush title={t("consents.list")}>
              {!consents.some((one) => one.active) && <Note tone="good">{t("consents.closed")}</Note>}
              <Table<Consent>
                caption={t("consents.list")}
                rows={consents}
                id={(one) => one.id}
                columns={[
                  { key: "ticket", title: t("consents.ticket"), header: true, cell: (one) => one.ticket },
                  {
                    key: "state",
                    title: t("form.state"),
                    cell: (one) => (
                      <span class="clauses">
                        <Badge tone={one.active ? "warn" : ""}>{t(one.active ? "consents.open" : "consents.over")}</Badge>
                        {one.edit && <Badge tone="bad">{t("consents.may_edit")}</Badge>}
                      </span>
                    ),
                  },
                  {
                    key: "reason",
                    title: t("consents.reason"),
                    cell: (one) => (
                      <>
                        {one.reason}
                        <div class="small soft">{one.granted_by}</div>
                      </>
                    ),
                  },
                  {
                    key: "time",
                    title: t("consents.time"),
                    cell: (one) => (
                      <span class="nowrap">
                        {moment(one.from)}
                        <br />– {moment(one.until)}
                      </span>
                    ),
                  },
                  {
                    key: "uses",
                    title: t("consents.uses"),
                    number: true,
                    cell: (one) => (
                      <>
                        {number(one.uses ?? 0)}
                        {one.last_use && <div class="small soft">{moment(one.last_use)}</div>}
                      </>
                    ),
                  },
                  {
                    key: "acts",
                    title: t("rules.acts"),
                    hide_title: true,
                    cell: (one) =>
                      one.active &&
                      may("consent") && (
                        <Act
                          look="danger"
                          done={t("consents.ended")}
                          run={async () => {
                            await api.end_consent(tenant, one.id);
                            list.again();
                          }}
                        >
                          {t("consents.end")}
                        </Act>
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

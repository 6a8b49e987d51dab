// SPDX-License-Identifier: Apache-2.0
// Ends of the contract and of its options: asked for, withdrawn, and what was erased. The provider sees those of all tenants.
import { useState } from "preact/hooks";
import { save_blob } from "../api/http";
import { api } from "../api/methods";
import type { Erasure } from "../api/types";
import { route } from "../state/route";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { moment, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, Confirm, Loaded, PageHead, useLoad, type Tone } from "../ui/basics";
import { SelectField, TextField } from "../ui/fields";
import { Table } from "../ui/table";

const TONES: Record<string, Tone> = { requested: "warn", ended: "warn", erasing: "bad", erased: "good" };

export function Erasures() {
  useLanguage();
  const platform = useStore(route).page.startsWith("platform");
  const { me, tenant: chosen } = useStore(session)!;
  const [named, set_named] = useState("");
  const tenant = platform ? named : chosen;
  const list = useLoad(() => (platform ? api.all_erasures() : api.erasures(chosen)), [chosen, platform], 15_000);
  const [sure, set_sure] = useState<Erasure | null>(null);
  return (
    <>
      <PageHead title={t("page.erasures")} lead={t(platform ? "erasures.platform_lead" : "erasures.lead")} />
      <div class="stack">
        {may("erase") && (
          <Ending tenant={tenant} onName={platform ? set_named : undefined} by={me.account} onDone={list.again} />
        )}
        <Loaded from={list}>
          {({ erasures = [] }) => (
            <Card flush title={t("erasures.list")}>
              <Table<Erasure>
                caption={t("erasures.list")}
                rows={erasures}
                id={(one) => one.id}
                empty={t("erasures.none")}
                columns={[
                  {
                    key: "what",
                    title: t("erasures.what"),
                    header: true,
                    cell: (one) => (
                      <>
                        {t_or(`erasures.scope.${one.scope}`, one.scope)}
                        {platform && <div class="small mono">{one.tenant}</div>}
                      </>
                    ),
                  },
                  {
                    key: "state",
                    title: t("form.state"),
                    cell: (one) => (
                      <span class="clauses">
                        <Badge tone={TONES[one.state] ?? ""}>{t_or(`erasures.state.${one.state}`, one.state)}</Badge>
                        {one.late && <Badge tone="bad">{t("erasures.late")}</Badge>}
                      </span>
                    ),
                  },
                  { key: "end", title: t("erasures.end"), cell: (one) => <span class="nowrap">{moment(one.end)}</span> },
                  {
                    key: "days",
                    title: t("erasures.days"),
                    cell: (one) => (
                      <span class="small">
                        {t("erasures.readable", { day: one.readable_until ?? "" })}
                        <br />
                        {one.erased
                          ? t("erasures.erased_at", { at: moment(one.erased) })
                          : t("erasures.planned", { day: one.planned ?? "", limit: one.limit ?? "" })}
                      </span>
                    ),
                  },
                  {
                    key: "reason",
                    title: t("consents.reason"),
                    cell: (one) => (
                      <>
                        {one.reason}
                        <div class="small soft">{one.requested_by}</div>
                      </>
                    ),
                  },
                  {
                    key: "acts",
                    title: t("rules.acts"),
                    hide_title: true,
                    cell: (one) => (
                      <div class="row-acts">
                        {one.state === "requested" && may("erase") && (
                          <Act
                            done={t("erasures.withdrawn")}
                            run={async () => {
                              await api.withdraw_erasure(one.tenant, one.id);
                              list.again();
                            }}
                          >
                            {t("erasures.withdraw")}
                          </Act>
                        )}
                        {one.state === "ended" && may("erase") && (
                          <Button look="danger" onClick={() => set_sure(one)}>
                            {t("erasures.early")}
                          </Button>
                        )}
                        {one.report && (
                          <Button
                            look="quiet"
                            icon="download"
                            onClick={() =>
                              save_blob(`erasure-${one.tenant}-${one.id}.json`, new Blob([one.report ?? ""], { type: "application/json" }))
                            }
                          >
                            {t("erasures.report")}
                          </Button>
                        )}
                      </div>
                    ),
                  },
                ]}
              />
            </Card>
          )}
        </Loaded>
      </div>
      {sure && (
        <Confirm
          title={t("erasures.early")}
          text={t("erasures.early_sure", { tenant: sure.tenant })}
          act={t("erasures.early")}
          onYes={async () => {
            await api.erase_early(sure.tenant, sure.id);
            list.again();
          }}
          onClose={() => set_sure(null)}
        />
      )}
    </>
  );
}

function Ending({
  tenant,
  onName,
  by,
  onDone,
}: {
  tenant: string;
  onName?: (tenant: string) => void;
  by: string;
  onDone: () => void;
}) {
  const blank = { scope: "contract", contract: "firewall", end: "", reason: "" };
  const [now, set] = useState(blank);
  const [sure, set_sure] = useState(false);
  const put = (values: Partial<typeof now>) => set((old) => ({ ...old, ...values }));
  return (
    <Card title={t("erasures.new")}>
      <div class="form">
        {onName && <TextField label={t("nav.tenant")} value={tenant} onChange={onName} maxLength={11} />}
        <SelectField
          label={t("erasures.what")}
          value={now.scope}
          onChange={(scope) => put({ scope })}
          options={["contract", "remote_access"].map((value) => ({ value, text: t_or(`erasures.scope.${value}`, value) }))}
        />
        {now.scope === "contract" && (
          <SelectField
            label={t("erasures.contract")}
            value={now.contract}
            onChange={(contract) => put({ contract })}
            options={["firewall", "remote_access", "other"].map((value) => ({
              value,
              text: t_or(`erasures.contract.${value}`, value),
            }))}
          />
        )}
        <TextField
          label={t("erasures.last_day")}
          hint={t("erasures.last_day_hint")}
          value={now.end}
          onChange={(end) => put({ end })}
          type="date"
        />
        <TextField wide label={t("consents.reason")} value={now.reason} onChange={(reason) => put({ reason })} maxLength={256} />
        <div class="row end">
          <Button look="danger" disabled={!tenant} onClick={() => set_sure(true)}>
            {t("erasures.ask")}
          </Button>
        </div>
      </div>
      {sure && (
        <Confirm
          title={t("erasures.ask")}
          text={t(now.end ? "erasures.sure_day" : "erasures.sure_now", { tenant, day: now.end, by })}
          act={t("erasures.ask")}
          onYes={async () => {
            await api.end_contract(tenant, now);
            set(blank);
            onDone();
          }}
          onClose={() => set_sure(false)}
        />
      )}
    </Card>
  );
}

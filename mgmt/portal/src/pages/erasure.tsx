// SPDX-License-Identifier: Apache-2.0
// The end of a contract: when traffic stops, how long records can still be read, and the day by which everything is gone.
import { useState } from "preact/hooks";
import { api } from "../api/methods";
import type { Erasure } from "../api/types";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Card, Confirm, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { SelectField, TextField } from "../ui/fields";

export function ErasurePage() {
  useLanguage();
  const { tenant } = useStore(session)!;
  const state = useLoad(() => api.erasure(tenant), [tenant]);
  return (
    <>
      <PageHead title={t("page.erasure")} lead={t("erasure.lead")} />
      <Loaded from={state}>
        {(now) => (
          <div class="stack">
            <State now={now} again={state.again} />
            {may("erasure_request") && (now.state ?? "active") === "active" && <Request tenant={tenant} again={state.again} />}
          </div>
        )}
      </Loaded>
    </>
  );
}

function State({ now, again }: { now: Erasure; again: () => void }) {
  const { tenant } = useStore(session)!;
  const state = now.state || "active";
  const [asking, set_asking] = useState(false);
  return (
    <Card
      title={t("erasure.state")}
      tools={<Badge tone={state === "active" ? "good" : "warn"}>{t_or(`erasure.${state}`, state)}</Badge>}
    >
      {state === "active" ? (
        <p class="soft">{t("erasure.active_text")}</p>
      ) : (
        <dl class="facts">
          <dt>{t("erasure.what")}</dt>
          <dd>{t_or(`erasure.of.${now.what}`, now.what ?? "")}</dd>
          <dt>{t("erasure.by")}</dt>
          <dd>{now.requested_by}</dd>
          <dt>{t("erasure.terminates")}</dt>
          <dd>{now.terminates}</dd>
          <dt>{t("erasure.readable")}</dt>
          <dd>{now.readable_until}</dd>
          <dt>{t("erasure.planned")}</dt>
          <dd>{now.planned}</dd>
          <dt>{t("erasure.deadline")}</dt>
          <dd>
            <b>{now.deadline}</b>
          </dd>
        </dl>
      )}
      {(now.lines ?? []).length > 0 && (
        <>
          <h3>{t("erasure.lines")}</h3>
          <ul class="small">
            {now.lines!.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </>
      )}
      {state === "cancel_requested" && may("erasure_request") && (
        <p class="row end">
          <Act look="plain" icon="undo" run={async () => set_asking(true)}>
            {t("erasure.withdraw")}
          </Act>
        </p>
      )}
      {asking && (
        <Confirm
          title={t("erasure.withdraw")}
          text={t("erasure.withdraw_text")}
          act={t("erasure.withdraw")}
          onClose={() => set_asking(false)}
          onYes={async () => {
            await api.withdraw_erasure(tenant);
            again();
          }}
        />
      )}
    </Card>
  );
}

function Request({ tenant, again }: { tenant: string; again: () => void }) {
  const [what, set_what] = useState("contract");
  const [at, set_at] = useState("");
  const [confirm, set_confirm] = useState("");
  return (
    <Card title={t("erasure.request")}>
      <div class="form">
        <div class="wide">
          <Note tone="warn">{t("erasure.warning")}</Note>
        </div>
        <SelectField
          label={t("erasure.what")}
          value={what}
          onChange={set_what}
          options={["contract", "threat", "log365", "log730"].map((value) => ({
            value,
            text: t_or(`erasure.of.${value}`, value),
          }))}
        />
        <TextField label={t("erasure.terminates")} type="date" value={at} onChange={set_at} hint={t("erasure.day_hint")} />
        <TextField
          label={t("erasure.confirm")}
          value={confirm}
          onChange={set_confirm}
          hint={t("erasure.confirm_hint", { code: tenant })}
        />
        <div class="row end">
          <Act
            look="danger"
            icon="erasure"
            disabled={confirm !== tenant || !at}
            done={t("erasure.requested")}
            run={async () => {
              await api.request_erasure(tenant, what, at, confirm);
              again();
            }}
          >
            {t("erasure.request")}
          </Act>
        </div>
      </div>
    </Card>
  );
}

// SPDX-License-Identifier: Apache-2.0
// What one person asked for and another has to let happen.
import { useState } from "preact/hooks";
import { api } from "../api/methods";
import type { Approval, ApprovedReply } from "../api/types";
import { route } from "../state/route";
import { session } from "../state/session";
import { useStore } from "../state/store";
import { moment, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Card, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { TextField } from "../ui/fields";
import { InvitationDialog } from "./accounts";
import { KeyDialog } from "./keys";

const TONES = { waiting: "warn", done: "good", failed: "bad", refused: "bad", withdrawn: "" } as const;

export function Approvals() {
  useLanguage();
  const here = useStore(session)!;
  const tenant = useStore(route).page.startsWith("platform") ? "" : here.tenant; // the provider's own
  const [taken, set_taken] = useState<ApprovedReply>({});
  const list = useLoad(() => (tenant ? api.approvals(tenant) : api.platform_approvals()), [tenant], 10_000);
  return (
    <>
      <PageHead title={t("page.approvals")} lead={t("approvals.lead")} />
      <Loaded from={list}>
        {({ approvals = [], four_eyes, four_eyes_accounts }) => (
          <div class="stack">
            {!four_eyes && <Note>{t("approvals.off")}</Note>}
            {!four_eyes_accounts && <Note>{t("approvals.off_accounts")}</Note>}
            {(four_eyes || four_eyes_accounts) && !approvals.some((one) => one.state === "waiting") && (
              <Note tone="good">{t("approvals.none")}</Note>
            )}
            {approvals.map((one) => (
              <One key={one.id} one={one} tenant={tenant} again={list.again} onTaken={set_taken} />
            ))}
          </div>
        )}
      </Loaded>
      {taken.invitation && <InvitationDialog invitation={taken.invitation} onClose={() => set_taken({})} />}
      {taken.key && <KeyDialog made={taken.key} onClose={() => set_taken({})} />}
    </>
  );
}

function One({
  one,
  tenant,
  again,
  onTaken,
}: {
  one: Approval;
  tenant: string;
  again: () => void;
  onTaken: (reply: ApprovedReply) => void;
}) {
  const [reason, set_reason] = useState("");
  const waits = one.state === "waiting";
  const changes = one.changes ?? [];
  return (
    <Card
      title={t_or(`method.${one.method}`, one.method)}
      tools={<Badge tone={TONES[one.state as keyof typeof TONES] ?? ""}>{t_or(`approvals.state.${one.state}`, one.state)}</Badge>}
    >
      <div class="stack">
        <p>
          {one.asked_by} – <span class="nowrap">{moment(one.asked)}</span>
          {one.comment && <> – {one.comment}</>}
          {one.decided_by && (
            <>
              <br />
              {one.decided_by} – <span class="nowrap">{moment(one.decided)}</span>
              {one.reason && <> – {one.reason}</>}
            </>
          )}
        </p>
        {changes.length > 0 && (
          <ul class="diff lines">
            {changes.map((line) => (
              <li key={line}>
                <span class="path">{line}</span>
              </li>
            ))}
          </ul>
        )}
        {one.reply && (
          <div class="row end">
            <Act
              look="lead"
              run={async () => {
                onTaken(await (tenant ? api.take_approved(tenant, one.id) : api.take_platform_approved(one.id)));
                again();
              }}
            >
              {t("approvals.take")}
            </Act>
          </div>
        )}
        {waits && !changes.length && <Note tone="warn">{t("approvals.unseen")}</Note>}
        {waits && (
          <div class="form">
            <TextField wide label={t("approvals.reason")} value={reason} onChange={set_reason} maxLength={128} />
            <div class="wide row end">
              <Act
                look="danger"
                run={async () => {
                  await (tenant ? api.refuse_approval(tenant, one.id, reason) : api.refuse_platform_approval(one.id, reason));
                  again();
                }}
              >
                {t(one.own ? "approvals.withdraw" : "approvals.refuse")}
              </Act>
              {!one.own && (
                <Act
                  look="lead"
                  icon="check"
                  run={async () => {
                    await (tenant ? api.approve(tenant, one.id) : api.approve_platform(one.id));
                    again();
                  }}
                >
                  {t("approvals.approve")}
                </Act>
              )}
            </div>
          </div>
        )}
      </div>
    </Card>
  );
}

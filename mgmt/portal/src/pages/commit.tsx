// SPDX-License-Identifier: Apache-2.0
// From a draft to what is in force: findings and differences, the commit that takes itself back, and its countdown.
import { FindingPlace } from "./finding";
import { useEffect, useState } from "preact/hooks";
import { Refusal } from "../api/http";
import { api, waits_for_approval } from "../api/methods";
import type { Change, CheckReply, Finding } from "../api/types";
import { changed, discard_draft, draft, open_draft, see_waiting, waiting } from "../state/draft";
import { go } from "../state/route";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { say } from "../state/toasts";
import { t, t_or } from "../text/text";
import { Act, Button, Card, Confirm, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { Ring } from "../ui/charts";
import { SelectField, TextField } from "../ui/fields";

export function DraftPage() {
  const one = useStore(draft)!;
  const check = useLoad(() => api.check(one.tenant, one.document), [one.document]);
  const [asking, set_asking] = useState(false);
  if (!changed(one))
    return (
      <>
        <PageHead title={t("page.draft")} />
        <Note>{t("draft.none")}</Note>
      </>
    );
  return (
    <>
      <PageHead title={t("page.draft")} lead={t("draft.lead", { revision: one.base })}>
        <Button look="danger" icon="undo" onClick={() => set_asking(true)}>
          {t("draft.discard")}
        </Button>
      </PageHead>
      <div class="stack">
        <Loaded from={check}>
          {(reply) => (
            <>
              <Findings findings={reply.findings ?? []} ok={!!reply.ok} />
              <Card title={t("draft.changes", { n: reply.changes?.length ?? 0 })}>
                <Changes changes={reply.changes ?? []} />
              </Card>
              <CommitForm reply={reply} />
            </>
          )}
        </Loaded>
      </div>
      {asking && (
        <Confirm
          title={t("draft.discard")}
          text={t("draft.discard_text")}
          act={t("draft.discard")}
          onClose={() => set_asking(false)}
          onYes={async () => {
            await discard_draft();
            go("rules");
          }}
        />
      )}
    </>
  );
}

/** How long a commit waits for its confirmation. */
export const CONFIRM_CHOICES = () => [
  ...[30, 60, 120, 600].map((n) => ({ value: String(n), text: t("draft.in_seconds", { n }) })),
  { value: "0", text: t("draft.without") },
];

function CommitForm({ reply }: { reply: CheckReply }) {
  const one = useStore(draft)!;
  const [comment, set_comment] = useState("");
  const [seconds, set_seconds] = useState("120");
  const [old, set_old] = useState(false);
  if (!may("commit")) return <Note>{t("draft.may_not")}</Note>;
  async function commit() {
    try {
      const done = await api.commit(one.tenant, one.document, one.base, comment, Number(seconds));
      sessionStorage.removeItem(`draft:${one.tenant}`);
      draft.set(null);
      await open_draft(one.tenant);
      if (waits_for_approval(done)) {
        say(t("approvals.asked"), "warn");
        return go("approvals");
      }
      say(
        t(done.confirm_seconds ? "draft.waits" : "draft.done", {
          revision: done.revision,
          ms: Math.round(done.milliseconds ?? 0),
        }),
        done.confirm_seconds ? "warn" : "good",
      );
      go("rules");
    } catch (error) {
      if (error instanceof Refusal && (error.status === 412 || error.code === "precondition")) set_old(true);
      throw error;
    }
  }
  return (
    <Card title={t("draft.commit")}>
      <div class="form">
        {old && (
          <div class="wide">
            <Note tone="warn">{t("draft.old")}</Note>
          </div>
        )}
        <TextField
          label={t("draft.comment")}
          value={comment}
          onChange={set_comment}
          maxLength={256}
          placeholder={t("draft.comment_example")}
        />
        <SelectField
          label={t("draft.confirm")}
          hint={t("draft.confirm_hint")}
          value={seconds}
          onChange={set_seconds}
          options={CONFIRM_CHOICES()}
        />
        <div class="wide row end">
          <Act look="lead" icon="check" disabled={!reply.ok} run={commit}>
            {t("draft.commit")}
          </Act>
        </div>
      </div>
    </Card>
  );
}

export function Findings({ findings, ok }: { findings: Finding[]; ok: boolean }) {
  const document = useStore(draft)?.document;
  const errors = findings.filter((one) => one.severity !== "warning"),
    warnings = findings.filter((one) => one.severity === "warning");
  const list = (some: Finding[]) => (
    <ul>
      {some.map((one) => (
        <li key={(one.path ?? "") + one.message}>
          <FindingPlace document={document} finding={one} />
        </li>
      ))}
    </ul>
  );
  return (
    <>
      {errors.length > 0 && (
        <Note tone="bad">
          <b>{t("draft.errors", { n: errors.length })}</b>
          {list(errors)}
        </Note>
      )}
      {warnings.length > 0 && (
        <Note tone="warn">
          <b>{t("draft.warnings", { n: warnings.length })}</b>
          {list(warnings)}
        </Note>
      )}
      {ok && findings.length === 0 && <Note tone="good">{t("draft.clean")}</Note>}
    </>
  );
}

const SIGNS = { added: "+", removed: "−", changed: "~", moved: "↕" } as const;
export function Changes({ changes }: { changes: Change[] }) {
  if (!changes.length) return <p class="empty">{t("draft.same")}</p>;
  return (
    <ol class="diff">
      {changes.map((change, index) => (
        <li key={index} class={change.kind}>
          <span aria-hidden="true">{SIGNS[change.kind]}</span>
          <span>
            <span class="hidden">{t_or(`change.${change.kind}`, change.kind)} </span>
            <span class="path">{change.path}</span> {change.before && <del>{change.before}</del>}{" "}
            {change.after && <ins>{change.after}</ins>}
          </span>
        </li>
      ))}
    </ol>
  );
}

/** On every page while a commit waits: confirm it, or it takes itself back. */
export function WaitingBar() {
  const wait = useStore(waiting);
  const { tenant } = useStore(session)!;
  const [, tick] = useState(0);
  const shown = wait && wait.tenant === tenant;
  useEffect(() => {
    if (!shown) return;
    const timer = setInterval(() => {
      tick((old) => old + 1);
      if (Date.now() > wait.until + 1500) void settle();
    }, 500);
    return () => clearInterval(timer);
  }, [wait, shown]);
  async function settle() {
    const now = await api.revisions(tenant);
    see_waiting(tenant, now);
    if (waiting.get()) return;
    say(
      t(now.running === wait!.revision ? "wait.kept" : "wait.taken_back", { revision: wait!.revision }),
      now.running === wait!.revision ? "good" : "warn",
    );
    sessionStorage.removeItem(`draft:${tenant}`);
    draft.set(null);
    await open_draft(tenant);
  }
  if (!shown) return null;
  const left = (wait.until - Date.now()) / 1000;
  return (
    <div class="note warn waiting" role="region" aria-label={t("wait.title")}>
      <Ring left={left} whole={wait.whole} text={t("wait.left", { n: Math.max(0, Math.ceil(left)) })} />
      <div>
        <h2>{t("wait.title")}</h2>
        <p>{t("wait.text", { revision: wait.revision })}</p>
      </div>
      {may("commit") && (
        <Act
          look="lead"
          icon="check"
          done={t("wait.confirmed")}
          run={async () => {
            await api.confirm(tenant, wait.revision);
            waiting.set(null);
          }}
        >
          {t("wait.confirm")}
        </Act>
      )}
    </div>
  );
}

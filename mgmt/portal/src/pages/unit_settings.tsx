// SPDX-License-Identifier: Apache-2.0
// The unit's own document: cards, uplinks, guards, and of the tenants what the provider assigns (Ports, Bindings, routes, quotas).
import { useEffect, useState } from "preact/hooks";
import { api, waits_for_approval } from "../api/methods";
import type { CheckReply, Config } from "../api/types";
import { say } from "../state/toasts";
import { t, useLanguage } from "../text/text";
import { Act, Card, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { Ring } from "../ui/charts";
import { AreaField, SelectField, TextField } from "../ui/fields";
import { Changes, CONFIRM_CHOICES, Findings } from "./commit";

interface Wait {
  revision: number;
  until: number;
  whole: number;
}

export function UnitSettings() {
  useLanguage();
  const config = useLoad(api.platform_config, []);
  const [wait, set_wait] = useState<Wait | null>(null);
  return (
    <>
      <PageHead title={t("page.unit_settings")} lead={t("unit.lead")} />
      <div class="stack">
        {wait && (
          <Waiting
            wait={wait}
            onEnd={() => {
              set_wait(null);
              config.again();
            }}
          />
        )}
        <Loaded from={config}>
          {(now) => (
            <Editor
              key={now.revision}
              config={now}
              onDone={(next) => {
                set_wait(next);
                config.again();
              }}
            />
          )}
        </Loaded>
      </div>
    </>
  );
}

function Editor({ config, onDone }: { config: Config; onDone: (wait: Wait | null) => void }) {
  const [text, set_text] = useState(() => JSON.stringify(config.document, null, 2));
  const [reply, set_reply] = useState<CheckReply | null>(null);
  const [wrong, set_wrong] = useState("");
  const [comment, set_comment] = useState("");
  const [seconds, set_seconds] = useState("120");
  async function check() {
    set_reply(null);
    set_wrong("");
    try {
      set_reply(await api.platform_check(JSON.parse(text)));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      set_wrong(error.message);
    }
  }
  async function commit() {
    const done = await api.platform_commit(JSON.parse(text), config.revision, comment, Number(seconds));
    if (waits_for_approval(done)) return say(t("approvals.asked"), "warn");
    const whole = done.confirm_seconds ?? 0;
    say(
      t(whole ? "draft.waits" : "draft.done", { revision: done.revision, ms: Math.round(done.milliseconds ?? 0) }),
      whole ? "warn" : "good",
    );
    onDone(whole ? { revision: done.revision, until: Date.now() + whole * 1000, whole } : null);
  }
  return (
    <>
      <Card title={t("unit.document", { revision: config.revision })}>
        <AreaField
          label={t("unit.json")}
          hint={t("unit.json_hint")}
          value={text}
          rows={24}
          mono
          onChange={(next) => {
            set_text(next);
            set_reply(null);
          }}
        />
        <p class="row end">
          <Act run={check}>{t("unit.check")}</Act>
        </p>
      </Card>
      {wrong && <Note tone="bad">{wrong}</Note>}
      {reply && <Findings findings={reply.findings ?? []} ok={!!reply.ok} />}
      {reply?.ok && (
        <Card title={t("draft.changes", { n: reply.changes?.length ?? 0 })}>
          <div class="stack">
            <Changes changes={reply.changes ?? []} />
            <div class="form">
              <TextField label={t("draft.comment")} value={comment} onChange={set_comment} maxLength={256} />
              <SelectField label={t("draft.confirm")} value={seconds} onChange={set_seconds} options={CONFIRM_CHOICES()} />
              <div class="wide row end">
                <Act look="lead" icon="check" run={commit}>
                  {t("draft.commit")}
                </Act>
              </div>
            </div>
          </div>
        </Card>
      )}
    </>
  );
}

function Waiting({ wait, onEnd }: { wait: Wait; onEnd: () => void }) {
  const [, tick] = useState(0);
  const left = (wait.until - Date.now()) / 1000;
  useEffect(() => {
    const timer = setInterval(() => (Date.now() > wait.until + 1500 ? onEnd() : tick((old) => old + 1)), 500);
    return () => clearInterval(timer);
  }, [wait]);
  return (
    <div class="note warn waiting" role="region" aria-label={t("wait.title")}>
      <Ring left={left} whole={wait.whole} text={t("wait.left", { n: Math.max(0, Math.ceil(left)) })} />
      <div>
        <h2>{t("wait.title")}</h2>
        <p>{t("wait.text", { revision: wait.revision })}</p>
      </div>
      <Act
        look="lead"
        icon="check"
        done={t("wait.confirmed")}
        run={async () => {
          await api.platform_confirm(wait.revision);
          onEnd();
        }}
      >
        {t("wait.confirm")}
      </Act>
    </div>
  );
}

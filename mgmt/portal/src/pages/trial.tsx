// SPDX-License-Identifier: Apache-2.0
// What a name and a password would open at a gateway, step by step. Nobody comes in by it; a wrong password counts.
import { useState } from "preact/hooks";
import { failure_text } from "../api/http";
import { api } from "../api/methods";
import type { TriedStep, TryLoginReply } from "../api/types";
import { changed, draft } from "../state/draft";
import { useStore } from "../state/store";
import { t, t_or, useLanguage } from "../text/text";
import { Badge, Button, Card, Note, PageHead } from "../ui/basics";
import { SelectField, TextField } from "../ui/fields";

export function Trial() {
  useLanguage();
  const one = useStore(draft)!;
  const gateways = one.document.gateways ?? [];
  const [form, set_form] = useState({ gateway: gateways[0]?.name ?? "", user: "", password: "", source: "" });
  const [answer, set_answer] = useState<TryLoginReply | null>(null);
  const [error, set_error] = useState("");
  const [busy, set_busy] = useState(false);
  const put = (values: Partial<typeof form>) => set_form((old) => ({ ...old, ...values }));
  async function submit(event: Event) {
    event.preventDefault();
    set_busy(true);
    set_error("");
    set_answer(null);
    try {
      set_answer(await api.try_login(one.tenant, { ...form, user: form.user.trim(), source: form.source.trim() }));
    } catch (failure) {
      set_error(failure_text(failure));
    } finally {
      put({ password: "" });
      set_busy(false);
    }
  }
  return (
    <>
      <PageHead title={t("page.trial")} lead={t("trial.lead")} />
      <div class="grid">
        <Card title={t("trial.login")}>
          <form class="form" onSubmit={(event) => void submit(event)} noValidate>
            <SelectField
              label={t("reach.gateway")}
              value={form.gateway}
              onChange={(gateway) => put({ gateway })}
              options={gateways.map((gateway) => ({ value: gateway.name, text: gateway.name }))}
            />
            <TextField
              label={t("remote.user")}
              value={form.user}
              onChange={(user) => put({ user })}
              list={(one.document.users ?? []).map((user) => user.name)}
            />
            <TextField
              label={t("remote.password")}
              type="password"
              autoComplete="new-password"
              value={form.password}
              onChange={(password) => put({ password })}
            />
            <TextField
              label={t("trial.source")}
              hint={t("trial.source_hint")}
              value={form.source}
              onChange={(source) => put({ source })}
              placeholder="198.51.100.9"
            />
            <div class="wide row end">
              <Button type="submit" look="lead" icon="explain" disabled={busy || !form.gateway || !form.user.trim()}>
                {t("trial.ask")}
              </Button>
            </div>
          </form>
        </Card>
        <div class="stack" role="status">
          {changed(one) && <Note>{t("reach.in_force")}</Note>}
          {error && <Note tone="bad">{error}</Note>}
          {answer && <Answer answer={answer} />}
          {!answer && !error && (
            <Card>
              <p class="empty">{busy ? t("state.loading") : t("trial.nothing")}</p>
            </Card>
          )}
        </div>
      </div>
    </>
  );
}

const GOOD = new Set(["ok", "right", "local", "radius", "reach"]);

function Answer({ answer }: { answer: TryLoginReply }) {
  return (
    <Card
      title={t("trial.result")}
      tools={<Badge tone={answer.admitted ? "good" : "bad"}>{t(answer.admitted ? "trial.in" : "trial.out")}</Badge>}
    >
      <ol class="steps">
        {(answer.steps ?? []).map((step) => (
          <li key={step.stage} class={GOOD.has(step.result) ? "allow" : "drop"}>
            <span>
              <b>{t_or(`trial_stage.${step.stage}`, step.stage)}</b>
            </span>
            <span>
              {sentence(step)} {step.object && <b>{step.object}</b>}
            </span>
          </li>
        ))}
      </ol>
    </Card>
  );
}

function sentence(step: TriedStep): string {
  return t_or(`trial_result.${step.result}`, step.result);
}

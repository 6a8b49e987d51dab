// SPDX-License-Identifier: Apache-2.0
// What would happen to a packet, and why: the data path's own answer, under what is in force or under the draft.
import { useState } from "preact/hooks";
import { failure_text } from "../api/http";
import { api } from "../api/methods";
import type { ExplainReply, NamedItem } from "../api/types";
import { changed, draft } from "../state/draft";
import { useStore } from "../state/store";
import { t, t_or, useLanguage } from "../text/text";
import { Badge, Button, Card, Note, PageHead } from "../ui/basics";
import { CheckField, SelectField, TextField } from "../ui/fields";

export function Explain() {
  useLanguage();
  const one = useStore(draft)!;
  const ports = one.document.ports ?? [];
  const [form, set_form] = useState({
    port: ports[0]?.name ?? "",
    source: "",
    destination: "",
    protocol: "tcp",
    source_port: "",
    destination_port: "443",
    user: "",
  });
  const [with_draft, set_with_draft] = useState(false);
  const [reply, set_reply] = useState<ExplainReply | null>(null);
  const [error, set_error] = useState("");
  const [busy, set_busy] = useState(false);
  const put = (values: Partial<typeof form>) => set_form((old) => ({ ...old, ...values }));
  const ports_matter = form.protocol === "tcp" || form.protocol === "udp";
  const tunnel = ports.find((port) => port.name === form.port)?.["kind"] === "tunnel";
  async function submit(event: Event) {
    event.preventDefault();
    set_busy(true);
    set_error("");
    try {
      set_reply(
        await api.explain(one.tenant, {
          port: form.port,
          source: form.source.trim(),
          destination: form.destination.trim(),
          protocol: form.protocol,
          ...(ports_matter && form.destination_port ? { destination_port: Number(form.destination_port) } : {}),
          ...(ports_matter && form.source_port ? { source_port: Number(form.source_port) } : {}),
          ...(tunnel && form.user ? { user: form.user } : {}),
          ...(with_draft ? { document: one.document } : {}),
        }),
      );
    } catch (failure) {
      set_reply(null);
      set_error(failure_text(failure));
    } finally {
      set_busy(false);
    }
  }
  return (
    <>
      <PageHead title={t("page.explain")} lead={t("explain.lead")} />
      <div class="grid">
        <Card title={t("explain.packet")}>
          <form class="form" onSubmit={(event) => void submit(event)} noValidate>
            <SelectField
              label={t("explain.port")}
              value={form.port}
              onChange={(port) => put({ port })}
              options={ports.map((port: NamedItem) => ({
                value: port.name,
                text: `${port.name} (${String(port["zone"] ?? "")})`,
              }))}
            />
            <SelectField
              label={t("object.protocol")}
              value={form.protocol}
              onChange={(protocol) => put({ protocol })}
              options={["tcp", "udp", "icmp", "icmpv6"].map((value) => ({
                value,
                text: value.toUpperCase().replace("V6", "v6"),
              }))}
            />
            <TextField
              label={t("rules.source")}
              value={form.source}
              onChange={(source) => put({ source })}
              placeholder="10.0.0.34"
            />
            <TextField
              label={t("rules.destination")}
              value={form.destination}
              onChange={(destination) => put({ destination })}
              placeholder="10.0.0.2"
            />
            {ports_matter && (
              <TextField
                label={t("explain.source_port")}
                value={form.source_port}
                onChange={(source_port) => put({ source_port })}
                inputMode="numeric"
                placeholder="49152"
              />
            )}
            {ports_matter && (
              <TextField
                label={t("explain.destination_port")}
                value={form.destination_port}
                onChange={(destination_port) => put({ destination_port })}
                inputMode="numeric"
              />
            )}
            {tunnel && (
              <TextField
                label={t("remote.user")}
                value={form.user}
                onChange={(user) => put({ user })}
                list={(one.document.users ?? []).map((user) => user.name)}
              />
            )}
            {changed(one) && <CheckField wide label={t("explain.with_draft")} value={with_draft} onChange={set_with_draft} />}
            <div class="wide row end">
              <Button type="submit" look="lead" icon="explain" disabled={busy || !form.source || !form.destination}>
                {t("explain.ask")}
              </Button>
            </div>
          </form>
        </Card>
        <div class="stack" role="status">
          {error && <Note tone="bad">{error}</Note>}
          {reply && <Answer reply={reply} />}
          {!reply && !error && (
            <Card>
              <p class="empty">{t("explain.nothing")}</p>
            </Card>
          )}
        </div>
      </div>
    </>
  );
}

const passes = (verdict: string): boolean => ["allow", "answer", "hold", "consume"].includes(verdict);

function Answer({ reply }: { reply: ExplainReply }) {
  return (
    <Card
      title={t("explain.verdict")}
      tools={<Badge tone={passes(reply.verdict) ? "good" : "bad"}>{t_or(`action.${reply.verdict}`, reply.verdict)}</Badge>}
    >
      <p>
        {reply.rule ? (
          <>
            {t("explain.by_rule")} <b>{reply.rule}</b>
          </>
        ) : (
          reply.reason && t_or(`drop.${reply.reason}`, reply.reason)
        )}{" "}
        <span class="soft small">
          {reply.draft ? t("explain.under_draft") : t("explain.under", { revision: reply.revision ?? 0 })}
        </span>
      </p>
      <ol class="steps">
        {(reply.steps ?? []).map((step, index) => (
          <li key={index} class={/drop|reject|refus|deny/.test(step.result ?? "") ? "drop" : "allow"}>
            <span>
              <b>{t_or(`stage.${step.stage}`, step.stage)}</b>
            </span>
            <span>
              {step.result} {step.object && <b>{step.object}</b>}
              {step.detail && <div class="small soft mono">{step.detail}</div>}
            </span>
          </li>
        ))}
      </ol>
    </Card>
  );
}

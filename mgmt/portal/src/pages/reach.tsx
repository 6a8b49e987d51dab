// SPDX-License-Identifier: Apache-2.0
// What one remote user reaches: the rules in force that take what he sends, in order.
import { useState } from "preact/hooks";
import { failure_text } from "../api/http";
import { api } from "../api/methods";
import type { Reach as Answer, ReachedRule } from "../api/types";
import { changed, draft } from "../state/draft";
import { route } from "../state/route";
import { useStore } from "../state/store";
import { t, t_or, useLanguage } from "../text/text";
import { Badge, Button, Card, Note, PageHead } from "../ui/basics";
import { TextField } from "../ui/fields";
import { Table } from "../ui/table";

export function Reach() {
  useLanguage();
  const one = useStore(draft)!;
  const [user, set_user] = useState(route.get().query.get("user") ?? "");
  const [answer, set_answer] = useState<Answer | null>(null);
  const [error, set_error] = useState("");
  const [busy, set_busy] = useState(false);
  async function submit(event: Event) {
    event.preventDefault();
    set_busy(true);
    set_error("");
    set_answer(null);
    try {
      set_answer(await api.reach(one.tenant, user.trim()));
    } catch (failure) {
      set_error(failure_text(failure));
    } finally {
      set_busy(false);
    }
  }
  return (
    <>
      <PageHead title={t("page.reach")} lead={t("reach.lead")} />
      <div class="stack">
        <Card>
          <form class="form" onSubmit={(event) => void submit(event)} noValidate>
            <TextField
              label={t("remote.user")}
              value={user}
              onChange={set_user}
              list={(one.document.users ?? []).map((other) => other.name)}
            />
            <div class="wide row end">
              <Button type="submit" look="lead" icon="explain" disabled={busy || !user.trim()}>
                {t("reach.ask")}
              </Button>
            </div>
          </form>
        </Card>
        {changed(one) && <Note>{t("reach.in_force")}</Note>}
        <div class="stack" role="status">
          {error && <Note tone="bad">{error}</Note>}
          {answer && <Found answer={answer} />}
        </div>
      </div>
    </>
  );
}

function Found({ answer }: { answer: Answer }) {
  const doors = answer.doors ?? [];
  return (
    <>
      <Card title={t("reach.doors", { user: answer.user })}>
        {answer.suspended && <Note tone="warn">{t("reach.suspended")}</Note>}
        {!doors.length && <p class="empty">{t("reach.no_door")}</p>}
        {doors.map((door) => (
          <dl class="facts" key={door.gateway}>
            <dt>{t("reach.gateway")}</dt>
            <dd>
              {door.gateway} <span class="soft">({door.zone})</span>
            </dd>
            <dt>{t("remote.pool")}</dt>
            <dd>
              {door.pool} <span class="soft">({door.group})</span>
            </dd>
            <dt>{t("remote.address")}</dt>
            <dd class="mono">{(door.addresses ?? []).join(", ")}</dd>
          </dl>
        ))}
        <dl class="facts">
          <dt>{t("remote.groups")}</dt>
          <dd>
            <Words words={answer.groups} none="–" />
          </dd>
        </dl>
      </Card>
      <Card flush title={t("reach.rules")}>
        <Table
          caption={t("reach.rules")}
          rows={answer.rules ?? []}
          id={(rule) => `${rule.policy}/${rule.number ?? 0}`}
          empty={t("reach.nothing")}
          columns={[
            { key: "no", title: t("rules.no"), number: true, cell: (rule) => rule.number || "–" },
            {
              key: "rule",
              title: t("rules.name"),
              header: true,
              cell: (rule) => (
                <>
                  {rule.rule || t("rules.default")} <span class="soft small">{rule.policy}</span>
                </>
              ),
            },
            {
              key: "action",
              title: t("rules.action"),
              cell: (rule) => (
                <Badge tone={rule.action === "allow" ? "good" : "bad"}>{t_or(`action.${rule.action}`, rule.action)}</Badge>
              ),
            },
            {
              key: "destination",
              title: t("rules.destination"),
              cell: (rule) => (
                <>
                  <Words words={rule.destination} not={!!rule.destination_not} none={t("rules.any")} />{" "}
                  {!!rule.destination_zones?.length && <span class="soft small">{rule.destination_zones.join(", ")}</span>}
                </>
              ),
            },
            {
              key: "service",
              title: t("rules.service"),
              cell: (rule) => <Words words={rule.service} not={!!rule.service_not} none={t("rules.any")} />,
            },
            { key: "only", title: t("reach.only"), cell: (rule) => <Words words={conditions(rule)} none="–" /> },
          ]}
        />
      </Card>
    </>
  );
}

/** On what it hangs beside that. */
const conditions = (rule: ReachedRule): string[] => [
  ...(rule.part ? [t("reach.part")] : []),
  ...(rule.device_groups ?? []).map((group) => t("reach.device_group", { group })),
  ...(rule.device && !rule.device_groups?.length ? [t("reach.device")] : []),
  ...(rule.schedule ? [rule.schedule] : []),
  ...(rule.valid_until ? [t("rules.until", { at: rule.valid_until })] : []),
];

function Words({ words, not, none }: { words?: string[] | undefined; not?: boolean; none: string }) {
  if (!words?.length) return <span class="soft">{none}</span>;
  return (
    <span class="clauses">
      {not && <span class="soft">{t("rules.not")}</span>}
      {words.map((word) => (
        <Badge key={word}>{word}</Badge>
      ))}
    </span>
  );
}

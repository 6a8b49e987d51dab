// SPDX-License-Identifier: Apache-2.0
// The rules, policy by policy, first match first. Order changes by dragging the grip, or by arrow keys on it.
import { useState } from "preact/hooks";
import { api, type Row } from "../api/methods";
import type { Document, Finding, Policy, Rule } from "../api/types";
import { draft, edit, may_edit, move_rule } from "../state/draft";
import { may } from "../state/session";
import { useStore } from "../state/store";
import { number, t, t_or, useLanguage } from "../text/text";
import { Badge, Button, Card, Confirm, Dialog, IconButton, Note, PageHead, useLoad, type Tone } from "../ui/basics";
import { CheckField, ListField, SelectField, TextField } from "../ui/fields";
import { Icon } from "../ui/icons";
import { FindingPlace } from "./finding";
import { PolicyForm } from "./policy_form";

const TONES: Record<string, Tone> = { allow: "good", drop: "bad", reject: "warn" };

export function Rules() {
  useLanguage();
  const one = useStore(draft)!;
  const [filter, set_filter] = useState("");
  const [policy_form, set_policy_form] = useState<Policy | "new" | null>(null);
  const hits = useLoad(
    async () => new Map((await api.table(one.tenant, "rules")).rows.map((row) => [`${row["policy"]}/${row["name"]}`, row])),
    [one.tenant, one.base],
    10_000,
  );
  const check = useLoad(
    () => (may("rules_edit") ? api.check(one.tenant, one.document) : Promise.resolve({ findings: [] })),
    [one.document],
  );
  const writable = may("rules_edit") && may_edit("policies");
  const policies = one.document.policies ?? [];
  const findings = (check.value?.findings ?? []).filter((finding) => finding.path?.includes("policies"));
  return (
    <>
      <PageHead title={t("page.rules")} lead={t("rules.lead")}>
        <input
          class="input"
          type="search"
          aria-label={t("rules.filter")}
          placeholder={t("rules.filter")}
          value={filter}
          onInput={(event) => set_filter(event.currentTarget.value)}
        />
        {writable && (
          <Button icon="plus" onClick={() => set_policy_form("new")}>
            {t("rules.new_policy")}
          </Button>
        )}
      </PageHead>
      <div class="stack">
        {findings.length > 0 && (
          <Note tone={findings.some((finding) => finding.severity === "error") ? "bad" : "warn"}>
            <b>{t("rules.findings", { n: findings.length })}</b>
            <ul>
              {findings.slice(0, 5).map((finding) => (
                <li key={finding.path + finding.message}>
                  <FindingPlace document={one.document} finding={finding} />
                </li>
              ))}
            </ul>
          </Note>
        )}
        {!policies.length && (
          <Card>
            <p class="empty">{t("rules.none")}</p>
          </Card>
        )}
        {policies.map((policy, index) => (
          <PolicyTable
            key={policy.name}
            policy={policy}
            index={index}
            hits={hits.value ?? new Map<string, Row>()}
            filter={filter.trim()}
            writable={writable}
            findings={findings}
            onEditPolicy={() => set_policy_form(policy)}
          />
        ))}
        <p class="small soft">{t("rules.final")}</p>
      </div>
      {policy_form && <PolicyForm policy={policy_form === "new" ? null : policy_form} onClose={() => set_policy_form(null)} />}
    </>
  );
}

function matches(rule: Rule, filter: string): boolean {
  if (!filter) return true;
  const text = [
    rule.name,
    rule.memo,
    ...(rule.source ?? []),
    ...(rule.destination ?? []),
    ...(rule.service ?? []),
    ...(rule.users ?? []),
  ]
    .join("\n")
    .toLowerCase();
  return text.includes(filter.toLowerCase());
}

function PolicyTable({
  policy,
  index,
  hits,
  filter,
  writable,
  findings,
  onEditPolicy,
}: {
  policy: Policy;
  index: number;
  hits: Map<string, Row>;
  filter: string;
  writable: boolean;
  findings: Finding[];
  onEditPolicy: () => void;
}) {
  const [form, set_form] = useState<{ rule: Rule; at: number | null } | null>(null);
  const [removing, set_removing] = useState<Rule | null>(null);
  const [dragged, set_dragged] = useState<number | null>(null);
  const [over, set_over] = useState<number | null>(null);
  const [said, set_said] = useState("");
  const rules = policy.rules ?? [];
  const movable = writable && !filter;
  const first_number = (draft.get()!.document.policies ?? [])
    .slice(0, index)
    .reduce((sum, one) => sum + (one.rules?.length ?? 0), 1);

  function move(from: number, to: number) {
    if (to < 0 || to >= rules.length || from === to) return;
    move_rule(policy.name, from, to);
    set_said(t("rules.moved", { name: rules[from]!.name, n: to + 1, all: rules.length }));
  }
  function key(event: KeyboardEvent, at: number) {
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: rules.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(at, to);
  }
  const change = (at: number, values: Partial<Rule>) =>
    edit((document) => Object.assign(document.policies!.find((one) => one.name === policy.name)!.rules![at]!, values));
  const warned = (at: number) => findings.filter((one) => one.path?.includes(`policies[${index}].rules[${at}]`));
  const copy = (rule: Rule): Rule =>
    ({ ...structuredClone(rule), name: t("rules.copy_of", { name: rule.name }).slice(0, 64), id: undefined }) as Rule;
  const cells = { hits, change, warned, writable };

  return (
    <Card
      flush
      title={policy.name}
      tools={
        <>
          <span class="soft small">
            {zones(policy.from)} → {zones(policy.to)}
          </span>
          {writable && (
            <Button look="quiet" icon="edit" onClick={onEditPolicy}>
              {t("rules.policy")}
            </Button>
          )}
          {writable && (
            <Button look="quiet" icon="plus" onClick={() => set_form({ rule: { name: "", action: "allow" }, at: null })}>
              {t("rules.new")}
            </Button>
          )}
        </>
      }
    >
      <div class="scroll" tabIndex={0} role="region" aria-label={policy.name}>
        <table>
          <caption class="hidden">{t("rules.caption", { policy: policy.name })}</caption>
          <thead>
            <tr>
              {movable && (
                <th scope="col">
                  <span class="hidden">{t("rules.order")}</span>
                </th>
              )}
              <th scope="col" class="num">
                {t("rules.no")}
              </th>
              <th scope="col">{t("rules.name")}</th>
              <th scope="col">{t("rules.action")}</th>
              <th scope="col">{t("rules.source")}</th>
              <th scope="col">{t("rules.destination")}</th>
              <th scope="col">{t("rules.service")}</th>
              <th scope="col">{t("rules.log")}</th>
              <th scope="col" class="num">
                {t("rules.hits")}
              </th>
              <th scope="col">{t("rules.last_hit")}</th>
              <th scope="col">
                <span class="hidden">{t("rules.acts")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rules.map(
              (rule, at) =>
                matches(rule, filter) && (
                  <tr
                    key={rule.id ?? rule.name}
                    class={[
                      rule.enabled === false ? "off" : "",
                      dragged === at ? "dragged" : "",
                      over === at && dragged !== null && dragged !== at ? (dragged < at ? "drop-after" : "drop-before") : "",
                    ].join(" ")}
                    onDragOver={(event) => {
                      if (dragged !== null) {
                        event.preventDefault();
                        set_over(at);
                      }
                    }}
                    onDrop={(event) => {
                      event.preventDefault();
                      if (dragged !== null) move(dragged, at);
                      set_dragged(null);
                      set_over(null);
                    }}
                  >
                    {movable && (
                      <td>
                        <button
                          type="button"
                          class="grip"
                          draggable
                          aria-label={t("rules.move", { name: rule.name })}
                          title={t("rules.move_hint")}
                          onKeyDown={(event) => key(event, at)}
                          onDragStart={(event) => {
                            event.dataTransfer?.setData("text/plain", rule.name);
                            set_dragged(at);
                          }}
                          onDragEnd={() => {
                            set_dragged(null);
                            set_over(null);
                          }}
                        >
                          <Icon name="grip" />
                        </button>
                      </td>
                    )}
                    <RuleCells rule={rule} at={at} no={first_number + at} policy={policy} {...cells} />
                    <td>
                      <div class="row-acts">
                        {writable && (
                          <IconButton
                            icon="edit"
                            label={t("act.edit_one", { name: rule.name })}
                            onClick={() => set_form({ rule, at })}
                          />
                        )}
                        {writable && (
                          <IconButton
                            icon="copy"
                            label={t("act.copy_one", { name: rule.name })}
                            onClick={() => set_form({ rule: copy(rule), at: null })}
                          />
                        )}
                        {writable && (
                          <IconButton
                            icon="trash"
                            label={t("act.remove_one", { name: rule.name })}
                            onClick={() => set_removing(rule)}
                          />
                        )}
                      </div>
                    </td>
                  </tr>
                ),
            )}
            <DefaultRow policy={policy} movable={movable} writable={writable} />
          </tbody>
        </table>
      </div>
      <p class="hidden" role="status">
        {said}
      </p>
      {form && <RuleForm policy={policy} rule={form.rule} at={form.at} onClose={() => set_form(null)} />}
      {removing && (
        <Confirm
          title={t("act.remove_one", { name: removing.name })}
          text={t("rules.remove_text")}
          act={t("act.remove")}
          onClose={() => set_removing(null)}
          onYes={async () =>
            edit((document) => {
              const owner = document.policies!.find((one) => one.name === policy.name)!;
              owner.rules = owner.rules!.filter((one) => one.name !== removing.name);
            })
          }
        />
      )}
    </Card>
  );
}

function RuleCells({
  rule,
  at,
  no,
  policy,
  hits,
  change,
  warned,
  writable,
}: {
  rule: Rule;
  at: number;
  no: number;
  policy: Policy;
  hits: Map<string, Row>;
  change: (at: number, values: Partial<Rule>) => void;
  warned: (at: number) => Finding[];
  writable: boolean;
}) {
  const hit = hits.get(`${policy.name}/${rule.name}`);
  const warnings = warned(at);
  return (
    <>
      <td class="num">{no}</td>
      <th scope="row">
        {rule.name}
        {warnings.map((one) => (
          <div key={one.message} class={`small ${one.severity === "error" ? "bad" : "warn"}`}>
            <Icon name="warn" /> {one.message}
          </div>
        ))}
        {rule.memo && <div class="small soft">{rule.memo}</div>}
        {(rule.users ?? []).length > 0 && (
          <div class="clauses">
            {rule.users!.map((one) => (
              <Badge key={one} tone="lead">
                {one}
              </Badge>
            ))}
          </div>
        )}
        {(rule.schedule || rule.valid_until) && (
          <div class="small soft">
            {[rule.schedule, rule.valid_until && t("rules.until", { at: rule.valid_until })].filter(Boolean).join(" · ")}
          </div>
        )}
        {rule.enabled === false && (
          <div>
            <Badge>{t("rules.off")}</Badge>
            {writable && (
              <Button look="quiet" onClick={() => change(at, { enabled: true })}>
                {t("rules.enable")}
              </Button>
            )}
          </div>
        )}
      </th>
      <td>
        <Badge tone={TONES[rule.action] ?? ""}>{t_or(`action.${rule.action}`, rule.action)}</Badge>
      </td>
      <td>
        <Clause values={[...(rule.source_zones ?? []), ...(rule.source ?? [])]} not={rule.source_not} />
      </td>
      <td>
        <Clause values={[...(rule.destination_zones ?? []), ...(rule.destination ?? [])]} not={rule.destination_not} />
      </td>
      <td>
        <Clause values={rule.service} not={rule.service_not} />
      </td>
      <td class="nowrap">{t_or(`log.${rule.log ?? "auto"}`, rule.log ?? "auto")}</td>
      <td class="num">{hit ? number(Number(hit["connections"] ?? 0)) : "–"}</td>
      <td class="nowrap small">{hit?.["last_hit"] || "–"}</td>
    </>
  );
}

function DefaultRow({ policy, movable, writable }: { policy: Policy; movable: boolean; writable: boolean }) {
  const options = ["folded", "each", "none"];
  return (
    <tr class="pinned">
      {movable && <td />}
      <td class="num">0</td>
      <th scope="row">{t("rules.default")}</th>
      <td>
        <Badge tone="bad">{t("action.drop")}</Badge>
      </td>
      <td>
        <Clause values={[]} />
      </td>
      <td>
        <Clause values={[]} />
      </td>
      <td>
        <Clause values={[]} />
      </td>
      <td>
        {writable ? (
          <select
            class="input"
            aria-label={t("rules.default_log")}
            value={policy.default_log ?? "folded"}
            onChange={(event) => {
              const value = event.currentTarget.value;
              edit((document) => {
                document.policies!.find((one) => one.name === policy.name)!.default_log = value;
              });
            }}
          >
            {options.map((one) => (
              <option key={one} value={one}>
                {t_or(`log.${one}`, one)}
              </option>
            ))}
          </select>
        ) : (
          t_or(`log.${policy.default_log ?? "folded"}`, "")
        )}
      </td>
      <td />
      <td />
      <td />
    </tr>
  );
}

const zones = (names: string[] | undefined): string => (names?.length ? names.join(", ") : t("rules.any"));

function Clause({ values, not }: { values: string[] | undefined; not?: boolean | undefined }) {
  if (!values?.length) return <span class="soft">{t("rules.any")}</span>;
  return (
    <span class="clauses">
      {not && <Badge tone="warn">{t("rules.not")}</Badge>}
      {values.map((one) => (
        <Badge key={one}>{one}</Badge>
      ))}
    </span>
  );
}

const names = (list: { name: string }[] | undefined): string[] => (list ?? []).map((one) => one.name);

/** Names that a rule may use for what it matches. */
export function vocabulary(document: Document) {
  return {
    addresses: [...names(document.addresses), ...names(document.address_groups)],
    services: [...names(document.services), ...names(document.service_groups)],
    schedules: names(document.schedules),
    users: names(document.user_groups),
  };
}

function RuleForm({ policy, rule, at, onClose }: { policy: Policy; rule: Rule; at: number | null; onClose: () => void }) {
  const { document } = useStore(draft)!;
  const [now, set] = useState<Rule>(() => structuredClone(rule));
  const [error, set_error] = useState("");
  const words = vocabulary(document);
  const put = (values: Partial<Rule>) => set((old) => ({ ...old, ...values }));
  const logs = now.action === "allow" ? ["auto", "none", "start", "end", "both"] : ["auto", "none", "folded", "each"];
  function submit() {
    const name = now.name.trim().normalize("NFC");
    const others = (policy.rules ?? []).filter((_, index) => index !== at);
    if (!name) return set_error(t("form.needed"));
    if (others.some((one) => one.name === name)) return set_error(t("form.taken"));
    const clean = Object.fromEntries(
      Object.entries({ ...now, name }).filter(
        ([, value]) => value !== "" && value !== undefined && !(Array.isArray(value) && !value.length),
      ),
    ) as unknown as Rule;
    edit((target) => {
      const owner = target.policies!.find((one) => one.name === policy.name)!;
      owner.rules ??= [];
      if (at === null) owner.rules.push(clean);
      else owner.rules[at] = clean;
    });
    onClose();
  }
  return (
    <Dialog
      size="large"
      title={at === null ? t("rules.new") : t("act.edit_one", { name: rule.name })}
      onClose={onClose}
      onSubmit={submit}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Button type="submit" look="lead">
            {t("act.to_draft")}
          </Button>
        </>
      }
    >
      <div class="form">
        <TextField
          label={t("rules.name")}
          value={now.name}
          onChange={(name) => {
            put({ name });
            set_error("");
          }}
          error={error}
          maxLength={64}
          required
          focus
        />
        <SelectField
          label={t("rules.action")}
          value={now.action}
          onChange={(action) => put({ action, log: "auto" })}
          options={["allow", "reject", "drop"].map((value) => ({ value, text: t_or(`action.${value}`, value) }))}
        />
        <ListField
          label={t("rules.source")}
          hint={t("rules.any_hint")}
          value={now.source ?? []}
          onChange={(source) => put({ source })}
          from={words.addresses}
          placeholder={t("rules.any")}
          only
        />
        <ListField
          label={t("rules.destination")}
          hint={t("rules.any_hint")}
          value={now.destination ?? []}
          onChange={(destination) => put({ destination })}
          from={words.addresses}
          placeholder={t("rules.any")}
          only
        />
        <ListField
          label={t("rules.service")}
          value={now.service ?? []}
          onChange={(service) => put({ service })}
          from={words.services}
          placeholder={t("rules.any")}
          only
        />
        <SelectField
          label={t("rules.log")}
          value={now.log ?? "auto"}
          onChange={(log) => put({ log })}
          options={logs.map((value) => ({ value, text: t_or(`log.${value}`, value) }))}
        />
        <ListField
          label={t("rules.users")}
          hint={t("rules.users_hint")}
          value={now.users ?? []}
          onChange={(users) => put({ users })}
          from={words.users}
          placeholder={t("rules.anyone")}
          only
        />
        <SelectField
          label={t("rules.schedule")}
          value={now.schedule ?? ""}
          onChange={(schedule) => put({ schedule })}
          options={[{ value: "", text: t("rules.always") }, ...words.schedules.map((value) => ({ value, text: value }))]}
        />
        <fieldset>
          <legend>{t("rules.more")}</legend>
          <ListField
            label={t("rules.source_zones")}
            value={now.source_zones ?? []}
            onChange={(source_zones) => put({ source_zones })}
            from={document.zones ?? []}
            placeholder={t("rules.any")}
            only
          />
          <ListField
            label={t("rules.destination_zones")}
            value={now.destination_zones ?? []}
            onChange={(destination_zones) => put({ destination_zones })}
            from={document.zones ?? []}
            placeholder={t("rules.any")}
            only
          />
          <CheckField label={t("rules.source_not")} value={!!now.source_not} onChange={(source_not) => put({ source_not })} />
          <CheckField
            label={t("rules.destination_not")}
            value={!!now.destination_not}
            onChange={(destination_not) => put({ destination_not })}
          />
          <CheckField label={t("rules.service_not")} value={!!now.service_not} onChange={(service_not) => put({ service_not })} />
          <CheckField label={t("rules.enabled")} value={now.enabled !== false} onChange={(enabled) => put({ enabled })} />
          <TextField
            label={t("rules.valid_until")}
            hint={t("rules.valid_hint")}
            value={now.valid_until ?? ""}
            onChange={(valid_until) => put({ valid_until })}
            placeholder="2026-12-31 22:00"
          />
          <TextField label={t("form.memo")} value={now.memo ?? ""} onChange={(memo) => put({ memo })} maxLength={256} />
        </fieldset>
      </div>
    </Dialog>
  );
}

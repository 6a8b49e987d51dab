// SPDX-License-Identifier: Apache-2.0
import { useState } from "preact/hooks";
import type { Policy } from "../api/types";
import { draft, edit } from "../state/draft";
import { useStore } from "../state/store";
import { t } from "../text/text";
import { Button, Dialog } from "../ui/basics";
import { ListField, TextField } from "../ui/fields";

/** Name and zones of a policy; its place among the others, and its end. */
export function PolicyForm({ policy, onClose }: { policy: Policy | null; onClose: () => void }) {
  const { document } = useStore(draft)!;
  const all = document.policies ?? [];
  const at = policy ? all.findIndex((one) => one.name === policy.name) : all.length;
  const [name, set_name] = useState(policy?.name ?? "");
  const [from, set_from] = useState(policy?.from ?? []);
  const [to, set_to] = useState(policy?.to ?? []);
  const [error, set_error] = useState("");
  function submit() {
    const clean = name.trim().normalize("NFC");
    if (!clean) return set_error(t("form.needed"));
    if (all.some((one, index) => index !== at && one.name === clean)) return set_error(t("form.taken"));
    edit((target) => {
      target.policies ??= [];
      target.policies[at] = { ...(target.policies[at] ?? { rules: [] }), name: clean, from, to };
    });
    onClose();
  }
  function move(step: number) {
    edit((target) => {
      target.policies!.splice(at + step, 0, ...target.policies!.splice(at, 1));
    });
    onClose();
  }
  function remove() {
    edit((target) => {
      target.policies!.splice(at, 1);
    });
    onClose();
  }
  return (
    <Dialog
      title={policy ? t("act.edit_one", { name: policy.name }) : t("rules.new_policy")}
      onClose={onClose}
      onSubmit={submit}
      foot={
        <>
          {policy && (
            <Button look="quiet" icon="up" disabled={at === 0} onClick={() => move(-1)}>
              {t("rules.earlier")}
            </Button>
          )}
          {policy && (
            <Button look="quiet" icon="down" disabled={at === all.length - 1} onClick={() => move(1)}>
              {t("rules.later")}
            </Button>
          )}
          {policy && (
            <Button look="danger" onClick={remove}>
              {t("act.remove")}
            </Button>
          )}
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Button type="submit" look="lead">
            {t("act.to_draft")}
          </Button>
        </>
      }
    >
      <div class="form">
        <TextField
          wide
          label={t("rules.name")}
          value={name}
          onChange={(value) => {
            set_name(value);
            set_error("");
          }}
          error={error}
          maxLength={64}
          focus
        />
        <ListField
          label={t("rules.from")}
          value={from}
          onChange={set_from}
          from={document.zones ?? []}
          placeholder={t("rules.any")}
          only
        />
        <ListField
          label={t("rules.to")}
          value={to}
          onChange={set_to}
          from={document.zones ?? []}
          placeholder={t("rules.any")}
          only
        />
      </div>
    </Dialog>
  );
}

// SPDX-License-Identifier: Apache-2.0
// One list of the document as a table with a form: objects, NAT rules, users, devices. What a field is, pages/kinds.ts says.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { save_blob } from "../api/http";
import { nt_hash } from "../api/nt_hash";
import type { NamedItem } from "../api/types";
import { to_csv } from "../state/csv";
import { draft, may_edit, put_item, remove_item, uses_of } from "../state/draft";
import { may } from "../state/session";
import { useStore } from "../state/store";
import { t, t_or } from "../text/text";
import { words_of, type Field, type ItemKind } from "../pages/kinds";
import { Badge, Button, Card, Confirm, Dialog, IconButton, Note } from "./basics";
import { CsvDialog } from "./csv_dialog";
import { AreaField, CheckField, ListField, SelectField, TextField } from "./fields";
import { Table, type Column } from "./table";

const DEFAULT_TRUE = new Set(["enabled"]);

function cell(field: Field, item: NamedItem): ComponentChildren {
  const value = item[field.key];
  if (field.kind === "parts" || field.kind === "words") {
    const words = ((value as unknown[] | undefined) ?? []).map((one) =>
      field.kind === "parts" ? field.read(one as never) : String(one),
    );
    const shown = words.slice(0, 6);
    return words.length ? (
      <span class="clauses">
        {shown.map((word) => (
          <Badge key={word}>{word}</Badge>
        ))}
        {words.length > 6 && <span class="soft">+{words.length - 6}</span>}
      </span>
    ) : (
      <span class="soft">–</span>
    );
  }
  if (field.kind === "choice") return t_or(field.texts + String(value ?? field.values[0]), String(value ?? field.values[0]));
  if (field.kind === "flag")
    return (value ?? DEFAULT_TRUE.has(field.key)) ? t("form.yes") : <span class="soft">{t("form.no")}</span>;
  return value === undefined || value === "" ? <span class="soft">–</span> : String(value);
}

type Part = Record<string, unknown>;
/** What stands at "sstp.accept" of an item. */
const value_at = (item: Part, key: string): unknown =>
  key.split(".").reduce<unknown>((at, word) => (at as Part | undefined)?.[word], item);
function with_value(item: Part, key: string, value: unknown): Part {
  const [first, ...rest] = key.split(".");
  return { ...item, [first!]: rest.length ? with_value((item[first!] as Part | undefined) ?? {}, rest.join("."), value) : value };
}
/** Without what says nothing: such a field is left out of the document. */
function clean(item: Part): Part {
  return Object.fromEntries(
    Object.entries(item)
      .filter(([, value]) => value !== "" && value !== undefined && !(Array.isArray(value) && !value.length))
      .map(([key, value]) => [key, value && typeof value === "object" && !Array.isArray(value) ? clean(value as Part) : value]),
  );
}

export function ItemList({ kind, extra }: { kind: ItemKind; extra?: Column<NamedItem>[] }) {
  const one = useStore(draft)!;
  const [form, set_form] = useState<NamedItem | "new" | null>(null);
  const [removing, set_removing] = useState<string | null>(null);
  const [filter, set_filter] = useState("");
  const [importing, set_importing] = useState(false);
  const items = (one.document[kind.list] as NamedItem[] | undefined) ?? [];
  const shown = filter ? items.filter((item) => JSON.stringify(item).toLowerCase().includes(filter.toLowerCase())) : items;
  const writable = may(kind.action) && may_edit(kind.list);
  const columns: Column<NamedItem>[] = [
    { key: "name", title: t(kind.fields[0]!.label), header: true, order: (item) => item.name, cell: (item) => item.name },
    ...kind.columns.map((key) => {
      const field = kind.fields.find((other) => other.key === key)!;
      return { key, title: t(field.label), cell: (item: NamedItem) => cell(field, item), number: field.kind === "number" };
    }),
    ...(extra ?? []),
    {
      key: "uses",
      title: t("form.uses"),
      number: true,
      order: (item) => uses_of(one.document, kind.list, item.name).length,
      cell: (item) => {
        const uses = uses_of(one.document, kind.list, item.name);
        return <span title={uses.join("\n")}>{uses.length || <span class="soft">0</span>}</span>;
      },
    },
    ...(writable
      ? [
          {
            key: "acts",
            title: t("rules.acts"),
            hide_title: true,
            cell: (item: NamedItem) => (
              <div class="row-acts">
                <IconButton icon="edit" label={t("act.edit_one", { name: item.name })} onClick={() => set_form(item)} />
                <IconButton
                  icon="trash"
                  label={t("act.remove_one", { name: item.name })}
                  onClick={() => set_removing(item.name)}
                />
              </div>
            ),
          },
        ]
      : []),
  ];
  const used = removing === null ? [] : uses_of(one.document, kind.list, removing);
  return (
    <Card
      flush
      title={t(kind.title)}
      tools={
        <div class="row">
          {items.length > 8 && (
            <input
              class="input"
              type="search"
              aria-label={t("form.filter")}
              placeholder={t("form.filter")}
              value={filter}
              onInput={(event) => set_filter(event.currentTarget.value)}
            />
          )}
          {kind.csv && !!items.length && (
            <Button
              look="quiet"
              icon="download"
              onClick={() => save_blob(`${kind.list}.csv`, new Blob([to_csv(kind, items)], { type: "text/csv" }))}
            >
              {t("csv.export")}
            </Button>
          )}
          {kind.csv && writable && (
            <Button look="quiet" icon="up" onClick={() => set_importing(true)}>
              {t("csv.import")}
            </Button>
          )}
          {writable && (
            <Button look="quiet" icon="plus" onClick={() => set_form("new")}>
              {t("act.add")}
            </Button>
          )}
        </div>
      }
    >
      <Table caption={t(kind.title)} columns={columns} rows={shown} id={(item) => item.name} empty={t(kind.lead)} />
      {importing && <CsvDialog kind={kind} onClose={() => set_importing(false)} />}
      {form && <ItemForm kind={kind} item={form === "new" ? null : form} onClose={() => set_form(null)} />}
      {removing !== null &&
        (used.length ? (
          <Dialog
            title={t("act.remove_one", { name: removing })}
            onClose={() => set_removing(null)}
            foot={<Button onClick={() => set_removing(null)}>{t("act.close")}</Button>}
          >
            <Note tone="warn">
              {t("form.in_use")}
              <ul>
                {used.map((use) => (
                  <li key={use}>{use}</li>
                ))}
              </ul>
            </Note>
          </Dialog>
        ) : (
          <Confirm
            title={t("act.remove_one", { name: removing })}
            text={t("form.remove_text")}
            act={t("act.remove")}
            onClose={() => set_removing(null)}
            onYes={async () => remove_item(kind.list, removing)}
          />
        ))}
    </Card>
  );
}

/** The form of one element, which goes into the draft; null: of a new one. */
export function ItemForm({ kind, item, onClose }: { kind: ItemKind; item: NamedItem | null; onClose: () => void }) {
  const { document } = useStore(draft)!;
  const [now, set] = useState<NamedItem>(() => structuredClone(item ?? kind.fresh));
  const [error, set_error] = useState("");
  function submit() {
    const name = now.name.trim().normalize("NFC");
    const others = ((document[kind.list] as NamedItem[] | undefined) ?? []).filter((other) => other.name !== item?.name);
    if (!name) return set_error(t("form.needed"));
    if (others.some((other) => other.name === name)) return set_error(t("form.taken"));
    put_item(kind.list, item?.name ?? null, clean({ ...now, name }) as NamedItem);
    onClose();
  }
  return (
    <Dialog
      size={kind.fields.length > 6 ? "large" : undefined}
      title={item ? t("act.edit_one", { name: item.name }) : `${t("act.add")}: ${t(kind.title)}`}
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
        {kind.fields
          .filter((field) => !field.within || value_at(now, field.within))
          .map((field) => (
            <Entry
              key={field.key}
              field={field}
              value={value_at(now, field.key)}
              error={field.key === "name" ? error : ""}
              onChange={(value) => {
                set((old) => with_value(old, field.key, value) as NamedItem);
                set_error("");
              }}
            />
          ))}
      </div>
    </Dialog>
  );
}

/** A password that is kept as its NT hash; an empty field keeps the one there is. */
function NtPassword({
  value,
  onChange,
  placeholder,
  ...common
}: {
  label: string;
  hint?: string | undefined;
  wide: boolean;
  placeholder: string;
  value: string | undefined;
  onChange: (value: unknown) => void;
}) {
  const [text, set_text] = useState("");
  const [before] = useState(value);
  return (
    <TextField
      {...common}
      type="password"
      value={text}
      placeholder={before ? "••••••••" : placeholder}
      autoComplete="new-password"
      onChange={(next) => {
        set_text(next);
        onChange(next ? nt_hash(next) : before);
      }}
    />
  );
}

/** The first pre-shared key of a list; an empty field keeps the one there is. */
function Psk({
  value,
  onChange,
  ...common
}: {
  label: string;
  hint?: string | undefined;
  wide: boolean;
  value: NamedItem[] | undefined;
  onChange: (value: unknown) => void;
}) {
  const [text, set_text] = useState("");
  const [before] = useState(value);
  return (
    <TextField
      {...common}
      type="password"
      value={text}
      placeholder={before?.length ? "••••••••" : ""}
      autoComplete="new-password"
      onChange={(next) => {
        set_text(next);
        const [first, ...others] = before ?? [];
        onChange(next ? [{ ...(first ?? { name: "psk" }), psk: next }, ...others] : before);
      }}
    />
  );
}

const MASKED = "(set)"; // a secret that stays
/** PEM texts one below the other; what is none stays as it is, for the findings to say so. */
function pems_of(text: string): string[] | undefined {
  const all = text
    .split(/(?<=-----END [A-Z0-9 ]+-----|^\(set\))\s*/m)
    .map((one) => one.trim())
    .filter(Boolean);
  return all.length ? all.map((one) => (one === MASKED ? one : `${one}\n`)) : undefined;
}

function Entry({
  field,
  value,
  error,
  onChange,
}: {
  field: Field;
  value: unknown;
  error: string;
  onChange: (value: unknown) => void;
}) {
  const { document } = useStore(draft)!;
  const common = {
    label: t(field.label),
    hint: field.hint && t(field.hint),
    wide: !!field.wide,
    error,
    placeholder: field.example ?? "",
  };
  switch (field.kind) {
    case "area":
      return <AreaField {...common} value={String(value ?? "")} onChange={onChange} mono />;
    case "pems":
      return (
        <AreaField
          {...common}
          value={((value as string[] | undefined) ?? []).join("\n")}
          onChange={(text) => onChange(pems_of(text))}
          mono
        />
      );
    case "number":
      return (
        <TextField
          {...common}
          type="number"
          value={value === undefined ? "" : String(value)}
          onChange={(text) => onChange(text === "" ? undefined : Number(text))}
        />
      );
    case "flag":
      return <CheckField {...common} value={Boolean(value ?? DEFAULT_TRUE.has(field.key))} onChange={onChange} />;
    case "title":
      return <h3 class="wide">{t(field.label)}</h3>;
    case "door":
      return <CheckField {...common} value={!!value} onChange={(on) => onChange(on ? field.fresh : undefined)} />;
    case "psk":
      return <Psk {...common} value={value as NamedItem[] | undefined} onChange={onChange} />;
    case "choice":
      return (
        <SelectField
          {...common}
          value={String(value ?? field.values[0])}
          onChange={onChange}
          options={field.values.map((one) => ({ value: one, text: t_or(field.texts + one, one) }))}
        />
      );
    case "one":
      return (
        <SelectField
          {...common}
          value={String(value ?? "")}
          onChange={onChange}
          options={["", ...words_of(document, field.from)].map((one) => ({ value: one, text: one || "–" }))}
        />
      );
    case "words":
      return (
        <ListField
          {...common}
          value={((value as unknown[] | undefined) ?? []).map(String)}
          onChange={onChange}
          from={field.values ?? (field.from && words_of(document, field.from))}
          only={!!field.only}
        />
      );
    case "parts":
      return (
        <ListField
          {...common}
          value={((value as unknown[] | undefined) ?? []).map((one) => field.read(one as never))}
          onChange={(words) => onChange(words.map(field.write))}
        />
      );
    case "nt_password":
      return <NtPassword {...common} value={value as string | undefined} onChange={onChange} />;
    default:
      return (
        <TextField {...common} value={String(value ?? "")} onChange={onChange} maxLength={256} focus={field.key === "name"} />
      );
  }
}

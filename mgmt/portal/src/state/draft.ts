// SPDX-License-Identifier: Apache-2.0
// The draft: a copy of the tenant's document that pages change, until it is committed or thrown away.
// It is kept in this tab alone, so that a reload loses nothing; the server compares revisions when it is committed.
import { api } from "../api/methods";
import type { Config, Document, ListName, NamedItem, Policy } from "../api/types";
import { store } from "./store";

export interface Draft {
  tenant: string;
  base: number;
  before: Document;
  document: Document;
  editable: string[] | null;
  acts: number;
}
export const draft = store<Draft | null>(null);
/** The commit that waits for a confirmation, of whoever made it. */
export interface Waiting {
  tenant: string;
  revision: number;
  until: number;
  whole: number;
}
export const waiting = store<Waiting | null>(null);

const place = (tenant: string): string => `draft:${tenant}`;
draft.follow(() => {
  const now = draft.get();
  if (now && changed(now)) sessionStorage.setItem(place(now.tenant), JSON.stringify(now));
});

/** A draft that was left when a session ended waits for the same account, and for nobody else. */
export function keep_drafts_of(account: string): void {
  if (sessionStorage.getItem("drafts of") !== account) {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith("draft:")) sessionStorage.removeItem(key);
  }
  sessionStorage.setItem("drafts of", account);
}

export function changed(one: Draft): boolean {
  return one.acts > 0 && JSON.stringify(one.before) !== JSON.stringify(one.document);
}

export function see_waiting(tenant: string, from: { waiting_confirmation?: number; roll_back_at?: string }): void {
  const old = waiting.get();
  if (!from.waiting_confirmation || !from.roll_back_at) {
    if (old?.tenant === tenant) waiting.set(null);
    return;
  }
  const until = Date.parse(from.roll_back_at);
  if (old?.revision === from.waiting_confirmation && old.tenant === tenant) return;
  waiting.set({ tenant, revision: from.waiting_confirmation, until, whole: Math.max(1, (until - Date.now()) / 1000) });
}

/** What is in force, or the draft that was left in this tab. */
export async function open_draft(tenant: string): Promise<void> {
  const config: Config = await api.config(tenant);
  see_waiting(tenant, config);
  const kept = sessionStorage.getItem(place(tenant));
  if (kept) {
    draft.set(JSON.parse(kept) as Draft);
    return;
  }
  draft.set({
    tenant,
    base: config.revision,
    before: config.document,
    document: config.document,
    editable: config.editable ?? null,
    acts: 0,
  });
}

export function discard_draft(): Promise<void> {
  const tenant = draft.get()!.tenant;
  sessionStorage.removeItem(place(tenant));
  draft.set(null);
  return open_draft(tenant);
}

export function edit(change: (document: Document) => void): void {
  const now = draft.get();
  if (!now) return;
  const document = structuredClone(now.document);
  change(document);
  draft.set({ ...now, document, acts: now.acts + 1 });
}

export const may_edit = (field: string): boolean => {
  const now = draft.get();
  return !!now && (now.editable === null || now.editable.includes(field));
};

/** Puts `item` in the place of the element called `old`, or at the end; names elsewhere that meant `old` follow a renaming. */
export function put_item(list: ListName, old: string | null, item: NamedItem): void {
  edit((document) => {
    const items = (document[list] ??= []) as NamedItem[];
    const at = items.findIndex((one) => one.name === old);
    if (at < 0) items.push(item);
    else items[at] = item;
    if (old && old !== item.name) rename_references(document, list, old, item.name);
  });
}

export function remove_item(list: ListName, name: string): void {
  edit((document) => {
    document[list] = (document[list] as NamedItem[]).filter((one) => one.name !== name);
  });
}

/** Which fields of which lists name elements of a list. */
const REFERENCES: Partial<Record<ListName, [ListName | "policies", string][]>> = {
  addresses: [
    ["address_groups", "members"],
    ["address_groups", "exclude"],
    ["nat", "source"],
    ["nat", "destination"],
    ["policies", "source"],
    ["policies", "destination"],
  ],
  services: [
    ["service_groups", "members"],
    ["nat", "service"],
    ["policies", "service"],
  ],
  schedules: [["policies", "schedule"]],
  user_groups: [
    ["users", "groups"],
    ["policies", "users"],
    ["devices", "owner_group"],
    ["gateways", "default_group"],
  ],
  users: [["devices", "owner"]],
  radius: [["gateways", "radius"]],
  pools: [["user_groups", "pool"]],
  device_policies: [["user_groups", "device_policy"]],
};
REFERENCES.address_groups = REFERENCES.addresses!;
REFERENCES.service_groups = REFERENCES.services!;

function* elements(document: Document, list: ListName | "policies"): Generator<[string, Record<string, unknown>]> {
  if (list === "policies") {
    for (const policy of document.policies ?? [])
      for (const rule of policy.rules ?? []) yield [`${policy.name} / ${rule.name}`, rule as unknown as Record<string, unknown>];
  } else {
    for (const item of (document[list] as NamedItem[] | undefined) ?? []) yield [item.name, item];
  }
}

function rename_references(document: Document, list: ListName, old: string, name: string): void {
  for (const [where, field] of REFERENCES[list] ?? []) {
    for (const [, element] of elements(document, where)) {
      const value = element[field];
      if (Array.isArray(value)) element[field] = value.map((one: unknown) => (one === old ? name : one));
      else if (value === old) element[field] = name;
    }
  }
}

/** Where an object is used: an object in use cannot be removed. */
export function uses_of(document: Document, list: ListName, name: string): string[] {
  const found: string[] = [];
  for (const [where, field] of REFERENCES[list] ?? []) {
    for (const [title, element] of elements(document, where)) {
      const value = element[field];
      if ((Array.isArray(value) && value.includes(name)) || value === name) found.push(title);
    }
  }
  return [...new Set(found)];
}

export function move_rule(policy: string, from: number, to: number): void {
  edit((document) => {
    const rules = document.policies?.find((one: Policy) => one.name === policy)?.rules;
    if (!rules || to < 0 || to >= rules.length) return;
    rules.splice(to, 0, ...rules.splice(from, 1));
  });
}

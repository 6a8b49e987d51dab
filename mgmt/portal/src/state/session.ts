// SPDX-License-Identifier: Apache-2.0
// Who is signed in, and which tenant he looks at. Nothing of it outlives the page: the cookie is the server's.
import { set_csrf, when_signed_out } from "../api/http";
import { api } from "../api/methods";
import type { Me, TenantEntry } from "../api/types";
import { draft, keep_drafts_of } from "./draft";
import { store } from "./store";

export interface Session {
  me: Me;
  tenants: TenantEntry[];
  tenant: string;
}
/** undefined: not known yet; null: nobody. */
export const session = store<Session | null | undefined>(undefined);
export const sign_in_note = store<"" | "ended" | "bye">("");

export async function begin(me: Me, token?: string): Promise<void> {
  set_csrf(token ?? me.csrf ?? "");
  if (me.must) {
    session.set({ me, tenants: [], tenant: "" });
    return;
  }
  keep_drafts_of(me.account);
  const tenants = (await api.tenants()).tenants ?? [];
  const before = session.get()?.tenant || sessionStorage.getItem("tenant") || "";
  const tenant = tenants.some((one) => one.service_code === before)
    ? before
    : is_provider(me)
      ? ""
      : (tenants[0]?.service_code ?? "");
  sign_in_note.set("");
  session.set({ me, tenants, tenant });
}

export async function resume(): Promise<void> {
  try {
    await begin(await api.me());
  } catch {
    session.set(null);
  }
}

export function look_at(tenant: string): void {
  const now = session.get();
  if (!now) return;
  sessionStorage.setItem("tenant", tenant);
  draft.set(null);
  session.set({ ...now, tenant });
}

export async function sign_out(): Promise<void> {
  await api.logout().catch(() => undefined);
  sign_in_note.set("bye");
  forget();
  sessionStorage.clear();
}

function forget(): void {
  set_csrf("");
  draft.set(null);
  session.set(null);
}
when_signed_out(() => {
  if (!session.get()) return;
  sign_in_note.set("ended");
  forget();
});

export const is_provider = (me: Me): boolean => me.role.startsWith("p-");

/** Whether the account may do `action` (base/proto/api.proto) at the tenant it looks at. The server judges; this hides what it
 *  would refuse. */
export function may(action: string): boolean {
  const now = session.get();
  if (!now) return false;
  if (now.me.may?.includes(action)) return true;
  const entry = now.tenants.find((one) => one.service_code === now.tenant);
  return !!entry?.by_consent && !!now.me.with_consent?.includes(action);
}

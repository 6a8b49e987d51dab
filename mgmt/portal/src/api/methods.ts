// SPDX-License-Identifier: Apache-2.0
// The methods of the management API that pages use, one line each.
import { ask, type Options } from "./http";
import type * as T from "./types";

const of = (tenant: string, rest: string) => `tenants/${encodeURIComponent(tenant)}/${rest}`;
const word = encodeURIComponent;
/** A commit that is sent twice happens once. */
const once = (): string => crypto.randomUUID();

export type TableName = "rules" | "nat" | "drops" | "ports" | "bindings" | "sessions" | "vpn/users" | "vpn/sessions";
export type Row = Record<string, string>;

async function rows(path: string, query?: Options["query"]): Promise<{ rows: Row[]; note: string }> {
  const table = await ask<T.Table>("GET", path, { query });
  return { rows: (table.rows ?? []).map((row) => row.cells ?? {}), note: table.note ?? "" };
}

export const api = {
  banner: () => ask<T.Banner>("GET", "banner"),
  login: (account: string, password: string, code: string) =>
    ask<T.LoginReply>("POST", "login", { body: { account, password, ...(code ? { code } : {}) } }),
  login_by_link: (link: string) => ask<T.LoginReply>("POST", "login/link", { body: { link } }),
  logout: () => ask<unknown>("POST", "logout", { body: {} }),
  me: () => ask<T.Me>("GET", "me"),
  set_password: (old_password: string, new_password: string) =>
    ask<T.Me>("POST", "me/password", { body: { old_password, new_password } }),
  begin_totp: () => ask<T.TotpSecret>("POST", "me/totp", { body: {} }),
  confirm_totp: (code: string) => ask<T.Me>("POST", "me/totp/confirm", { body: { code } }),
  my_sessions: () => ask<T.LoginSessionList>("GET", "me/sessions"),
  end_my_sessions: () => ask<unknown>("POST", "me/sessions/end", { body: {} }),

  tenants: () => ask<T.TenantList>("GET", "tenants"),
  dashboard: (tenant: string, seconds: number) => ask<T.Dashboard>("GET", of(tenant, "dashboard"), { query: { seconds } }),
  table: (tenant: string, name: TableName, query?: Options["query"]) => rows(of(tenant, name), query),
  end_quarantine: (tenant: string, binding: string) =>
    ask<unknown>("POST", of(tenant, `bindings/${word(binding)}/release`), { body: {} }),
  explain: (tenant: string, body: T.ExplainRequest) => ask<T.ExplainReply>("POST", of(tenant, "explain"), { body }),

  config: (tenant: string, revision = 0) =>
    ask<T.Config>("GET", of(tenant, "config"), { query: { revision: revision || undefined } }),
  check: (tenant: string, document: T.Document) => ask<T.CheckReply>("POST", of(tenant, "config/check"), { body: { document } }),
  commit: (tenant: string, document: T.Document, base: number, comment: string, confirm_seconds: number) =>
    ask<T.CommitReply | T.Approval>("POST", of(tenant, "config/commit"), {
      body: { document, comment, confirm_seconds },
      match: base,
      key: once(),
      may_wait: true,
    }),
  confirm: (tenant: string, revision: number) => ask<T.CommitReply>("POST", of(tenant, "config/confirm"), { body: { revision } }),
  roll_back: (tenant: string, revision: number, comment: string, confirm_seconds: number) =>
    ask<T.CommitReply | T.Approval>("POST", of(tenant, "config/rollback"), {
      body: { revision, comment, confirm_seconds },
      key: once(),
      may_wait: true,
    }),
  revisions: (tenant: string) => ask<T.RevisionList>("GET", of(tenant, "config/revisions"), { query: { limit: 100 } }),
  diff: (tenant: string, from: number, to: number) =>
    ask<T.DiffReply>("GET", of(tenant, "config/diff"), { query: { from, to: to || undefined } }),
  export_config: (tenant: string, passphrase: string) =>
    ask<T.File>("POST", of(tenant, "config/export"), { body: { passphrase } }),
  import_config: (tenant: string, text: string, passphrase: string, comment: string, confirm_seconds: number) =>
    ask<T.CommitReply | T.Approval>("POST", of(tenant, "config/import"), {
      body: { text, passphrase, comment, confirm_seconds },
      key: once(),
      may_wait: true,
    }),

  disconnect: (tenant: string, user: string) => ask<T.Counted>("POST", of(tenant, "vpn/disconnect"), { body: { user } }),
  unlock_user: (tenant: string, user: string) => ask<T.Counted>("POST", of(tenant, "vpn/unlock"), { body: { user } }),
  self: (tenant: string) => ask<T.Self>("GET", of(tenant, "self")),
  set_vpn_password: (tenant: string, nt_hash: string) =>
    ask<T.CommitReply>("POST", of(tenant, "self/password"), { body: { nt_hash } }),
  request_device: (tenant: string, body: T.DeviceRequest) =>
    ask<T.CommitReply>("POST", of(tenant, "self/devices"), { body }),
  end_own_session: (tenant: string, vpn_sid: string) =>
    ask<T.Counted>("POST", of(tenant, "self/disconnect"), { body: { vpn_sid } }),
  own_profile: (tenant: string, gateway: string, client: string) =>
    ask<T.File>("GET", of(tenant, "self/profile"), { query: { gateway, client } }),
  own_connections: (tenant: string, cursor: string) =>
    ask<T.SearchReply>("GET", of(tenant, "self/connections"), { query: { cursor } }),
  try_login: (tenant: string, body: T.TryLoginRequest) => ask<T.TryLoginReply>("POST", of(tenant, "vpn/try"), { body }),
  reach: (tenant: string, user: string) => ask<T.Reach>("GET", of(tenant, "vpn/reach"), { query: { user } }),
  vpn_profile: (tenant: string, gateway: string, user: string, client: string) =>
    ask<T.File>("GET", of(tenant, "vpn/profile"), { query: { gateway, user, client } }),

  search: (tenant: string, body: T.SearchRequest) => ask<T.SearchReply>("POST", of(tenant, "logs/search"), { body }),
  download_path: (tenant: string) => of(tenant, "logs/download"),
  log_exports: (tenant: string) => ask<{ exports?: T.LogExportState[] }>("GET", of(tenant, "logs/exports")),
  download_state: (tenant: string, token: string) => ask<T.DownloadState>("GET", of(tenant, `logs/downloads/${word(token)}`)),
  audit: (tenant: string, before = "") => ask<T.AuditList>("GET", of(tenant, "audit"), { query: { limit: 100, before } }),

  accounts: (tenant: string) => ask<T.AccountList>("GET", of(tenant, "accounts")),
  add_account: (tenant: string, id: string, account: Partial<T.Account>) =>
    ask<T.Invitation>("POST", of(tenant, "accounts"), { body: { id, account } }),
  change_account: (tenant: string, id: string, account: Partial<T.Account>) =>
    ask<T.Account>("PUT", of(tenant, `accounts/${word(id)}`), { body: { account } }),
  remove_account: (tenant: string, id: string) => ask<unknown>("DELETE", of(tenant, `accounts/${word(id)}`)),
  reissue_account: (tenant: string, id: string) =>
    ask<T.Invitation>("POST", of(tenant, `accounts/${word(id)}/reissue`), { body: {} }),
  unlock_account: (tenant: string, id: string) => ask<T.Account>("POST", of(tenant, `accounts/${word(id)}/unlock`), { body: {} }),
  consents: (tenant: string) => ask<T.ConsentList>("GET", of(tenant, "consents")),
  grant_consent: (tenant: string, body: { minutes: number; ticket: string; reason: string; edit: boolean }) =>
    ask<T.Consent>("POST", of(tenant, "consents"), { body }),
  end_consent: (tenant: string, id: string) => ask<unknown>("DELETE", of(tenant, `consents/${word(id)}`)),
  notices: (tenant: string) => ask<T.NoticeList>("GET", of(tenant, "notices")),

  erasures: (tenant: string) => ask<T.ErasureList>("GET", of(tenant, "erasures")),
  all_erasures: () => ask<T.ErasureList>("GET", "platform/erasures"),
  end_contract: (tenant: string, body: { scope: string; contract: string; end: string; reason: string }) =>
    ask<T.Erasure>("POST", of(tenant, "erasures"), { body, key: once() }),
  withdraw_erasure: (tenant: string, id: string) => ask<unknown>("DELETE", of(tenant, `erasures/${word(id)}`)),
  erase_early: (tenant: string, id: string) => ask<T.Erasure>("POST", of(tenant, `erasures/${word(id)}/early`), { body: {} }),
  keys: (tenant: string) => ask<T.ApiKeyList>("GET", of(tenant, "keys")),
  add_key: (tenant: string, key: Partial<T.ApiKey>) => ask<T.ApiKeySecret>("POST", of(tenant, "keys"), { body: { key } }),
  revoke_key: (tenant: string, id: string) => ask<unknown>("DELETE", of(tenant, `keys/${word(id)}`)),
  approvals: (tenant: string) => ask<T.ApprovalList>("GET", of(tenant, "approvals")),
  approve: (tenant: string, id: string) => ask<T.Approval>("POST", of(tenant, `approvals/${word(id)}/approve`), { body: {} }),
  refuse_approval: (tenant: string, id: string, reason: string) =>
    ask<T.Approval>("POST", of(tenant, `approvals/${word(id)}/refuse`), { body: { reason } }),
  take_approved: (tenant: string, id: string) =>
    ask<T.ApprovedReply>("POST", of(tenant, `approvals/${word(id)}/reply`), { body: {} }),
  deliveries: (tenant: string) => ask<T.DeliveryList>("GET", of(tenant, "notifications")),
  test_notification: (tenant: string, target: string) =>
    ask<T.Counted>("POST", of(tenant, "notifications/test"), { body: { target } }),

  status: () => rows("platform/status"),
  tenant_use: () => rows("platform/tenants"),
  platform_config: () => ask<T.Config>("GET", "platform/config"),
  platform_check: (document: unknown) => ask<T.CheckReply>("POST", "platform/config/check", { body: { document } }),
  platform_commit: (document: unknown, base: number, comment: string, confirm_seconds: number) =>
    ask<T.CommitReply | T.Approval>("POST", "platform/config/commit", {
      body: { document, comment, confirm_seconds },
      match: base,
      key: once(),
      may_wait: true,
    }),
  platform_confirm: (revision: number) => ask<T.CommitReply>("POST", "platform/config/confirm", { body: { revision } }),
  staff: () => ask<T.AccountList>("GET", "platform/accounts"),
  add_staff: (id: string, account: Partial<T.Account>, tenant_owner: string) =>
    ask<T.Invitation>("POST", "platform/accounts", { body: { id, account, tenant_owner } }),
  remove_staff: (id: string) => ask<unknown>("DELETE", `platform/accounts/${word(id)}`),
  reissue_staff: (id: string) => ask<T.Invitation>("POST", `platform/accounts/${word(id)}/reissue`, { body: {} }),
  unlock_staff: (id: string) => ask<T.Account>("POST", `platform/accounts/${word(id)}/unlock`, { body: {} }),
  all_notices: () => ask<T.NoticeList>("GET", "platform/notices"),
  add_notice: (notice: T.Notice) => ask<T.Notice>("POST", "platform/notices", { body: { notice } }),
  change_notice: (id: string, notice: T.Notice) => ask<T.Notice>("PUT", `platform/notices/${word(id)}`, { body: { notice } }),
  platform_keys: () => ask<T.ApiKeyList>("GET", "platform/keys"),
  add_platform_key: (key: Partial<T.ApiKey>) => ask<T.ApiKeySecret>("POST", "platform/keys", { body: { key } }),
  revoke_platform_key: (id: string) => ask<unknown>("DELETE", `platform/keys/${word(id)}`),
  platform_approvals: () => ask<T.ApprovalList>("GET", "platform/approvals"),
  approve_platform: (id: string) => ask<T.Approval>("POST", `platform/approvals/${word(id)}/approve`, { body: {} }),
  refuse_platform_approval: (id: string, reason: string) =>
    ask<T.Approval>("POST", `platform/approvals/${word(id)}/refuse`, { body: { reason } }),
  take_platform_approved: (id: string) => ask<T.ApprovedReply>("POST", `platform/approvals/${word(id)}/reply`, { body: {} }),
  clock: () => ask<T.Clock>("GET", "platform/clock"),
  platform_audit: (before = "") => ask<T.AuditList>("GET", "platform/audit", { query: { limit: 100, before } }),
};

/** Not done but kept: a second person has to let it happen. */
export const waits_for_approval = (reply: T.CommitReply | T.Approval): reply is T.Approval => "state" in reply;

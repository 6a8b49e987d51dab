// SPDX-License-Identifier: Apache-2.0
// Accounts of a tenant: who may sign in, as what, from where. The provider's own are in platform.tsx, by the same table.
import { useState } from "preact/hooks";
import { api } from "../api/methods";
import type { Account, AccountList, Invitation } from "../api/types";
import { draft, edit } from "../state/draft";
import { session } from "../state/session";
import { useStore } from "../state/store";
import { moment, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, closing, Confirm, Dialog, IconButton, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { CheckField, ListField, SelectField, TextField } from "../ui/fields";
import { Table } from "../ui/table";

interface SignInDocument {
  sources?: string[];
  second_factor?: boolean;
  four_eyes?: boolean;
  four_eyes_accounts?: boolean;
}

export interface AccountActs {
  list: () => Promise<AccountList>;
  add: (id: string, account: Partial<Account>) => Promise<Invitation>;
  change?: (id: string, account: Partial<Account>) => Promise<unknown>;
  remove: (id: string) => Promise<unknown>;
  reissue: (id: string) => Promise<Invitation>;
  unlock: (id: string) => Promise<unknown>;
}

export function Accounts() {
  useLanguage();
  const { tenant } = useStore(session)!;
  return (
    <>
      <PageHead title={t("page.accounts")} lead={t("accounts.lead")} />
      <div class="stack">
      <AccountTable
        id={tenant}
        suffix={`@${tenant}`}
        acts={{
          list: () => api.accounts(tenant),
          add: (id, account) => api.add_account(tenant, id, account),
          change: (id, account) => api.change_account(tenant, id, account),
          remove: (id) => api.remove_account(tenant, id),
          reissue: (id) => api.reissue_account(tenant, id),
          unlock: (id) => api.unlock_account(tenant, id),
        }}
      />
      <SignInRules />
      </div>
    </>
  );
}

/** How the tenant's people sign in: part of the draft. */
function SignInRules() {
  const now = useStore(draft);
  if (!now) return null;
  const rules = (now.document["sign_in"] ?? {}) as SignInDocument;
  const put = (values: SignInDocument) =>
    edit((document) => {
      document["sign_in"] = { ...((document["sign_in"] as object | undefined) ?? {}), ...values };
    });
  return (
    <Card title={t("rules_of_sign_in.title")}>
      <div class="form">
        <CheckField
          wide
          label={t("rules_of_sign_in.second_factor")}
          value={rules.second_factor ?? true}
          onChange={(second_factor) => put({ second_factor })}
        />
        <CheckField
          wide
          label={t("rules_of_sign_in.four_eyes")}
          value={!!rules.four_eyes}
          onChange={(four_eyes) => put({ four_eyes })}
        />
        <CheckField
          wide
          label={t("rules_of_sign_in.four_eyes_accounts")}
          value={!!rules.four_eyes_accounts}
          onChange={(four_eyes_accounts) => put({ four_eyes_accounts })}
        />
        <ListField
          wide
          label={t("accounts.sources")}
          hint={t("rules_of_sign_in.sources_hint")}
          value={rules.sources ?? []}
          onChange={(sources) => put({ sources })}
          placeholder="198.51.100.0/24"
        />
      </div>
    </Card>
  );
}

export function AccountTable({ id, suffix, acts }: { id: string; suffix: string; acts: AccountActs }) {
  const { me } = useStore(session)!;
  const list = useLoad(acts.list, [id]);
  const [form, set_form] = useState<Account | "new" | null>(null);
  const [removing, set_removing] = useState<Account | null>(null);
  const [invitation, set_invitation] = useState<Invitation | null>(null);
  return (
    <Loaded from={list}>
      {({ accounts = [], roles = [] }) => (
        <Card
          flush
          title={t("accounts.count", { n: accounts.length })}
          tools={
            <Button look="quiet" icon="plus" onClick={() => set_form("new")}>
              {t("accounts.new")}
            </Button>
          }
        >
          <Table<Account>
            caption={t("page.accounts")}
            rows={accounts}
            id={(one) => one.id}
            columns={[
              {
                key: "id",
                title: t("sign_in.account"),
                header: true,
                order: (one) => one.id,
                cell: (one) => (
                  <>
                    {one.display_name || one.id}
                    <div class="small soft mono">{one.id}</div>
                  </>
                ),
              },
              {
                key: "role",
                title: t("accounts.role"),
                order: (one) => one.role,
                cell: (one) => <span class="nowrap">{t_or(`role.${one.role}`, one.role)}</span>,
              },
              {
                key: "state",
                title: t("form.state"),
                cell: (one) => (
                  <span class="clauses">
                    {one.disabled ? (
                      <Badge>{t("accounts.disabled")}</Badge>
                    ) : one.locked ? (
                      <Badge tone="bad">{t("accounts.locked")}</Badge>
                    ) : one.invited ? (
                      <Badge tone="warn">{t("accounts.invited")}</Badge>
                    ) : (
                      <Badge tone="good">{t("accounts.active")}</Badge>
                    )}
                    <Badge tone={one.totp ? "lead" : "warn"}>{t(one.totp ? "accounts.totp" : "accounts.no_totp")}</Badge>
                  </span>
                ),
              },
              {
                key: "sources",
                title: t("accounts.sources"),
                cell: (one) => <span class="mono">{one.sources?.join(", ") || t("accounts.anywhere")}</span>,
              },
              {
                key: "last",
                title: t("accounts.last_login"),
                order: (one) => one.last_login ?? "",
                cell: (one) => <span class="nowrap">{moment(one.last_login)}</span>,
              },
              {
                key: "acts",
                title: t("rules.acts"),
                hide_title: true,
                cell: (one) => (
                  <div class="row-acts">
                    {one.locked && (
                      <Act
                        look="quiet"
                        done={t("accounts.unlocked", { name: one.id })}
                        run={async () => {
                          await acts.unlock(one.id);
                          list.again();
                        }}
                      >
                        {t("remote.unlock")}
                      </Act>
                    )}
                    <Act
                      look="quiet"
                      run={async () => {
                        set_invitation(await acts.reissue(one.id));
                        list.again();
                      }}
                    >
                      {t("accounts.reissue")}
                      <span class="hidden"> {one.id}</span>
                    </Act>
                    {acts.change && (
                      <IconButton icon="edit" label={t("act.edit_one", { name: one.id })} onClick={() => set_form(one)} />
                    )}
                    {one.id !== me.account && (
                      <IconButton icon="trash" label={t("act.remove_one", { name: one.id })} onClick={() => set_removing(one)} />
                    )}
                  </div>
                ),
              },
            ]}
          />
          {form && (
            <AccountForm
              account={form === "new" ? null : form}
              roles={roles}
              suffix={suffix}
              acts={acts}
              onClose={() => set_form(null)}
              onDone={(invited) => {
                set_form(null);
                set_invitation(invited);
                list.again();
              }}
            />
          )}
          {removing && (
            <Confirm
              title={t("act.remove_one", { name: removing.id })}
              text={t("accounts.remove_text")}
              act={t("act.remove")}
              onClose={() => set_removing(null)}
              onYes={async () => {
                await acts.remove(removing.id);
                list.again();
              }}
            />
          )}
          {invitation && <InvitationDialog invitation={invitation} onClose={() => set_invitation(null)} />}
        </Card>
      )}
    </Loaded>
  );
}

function AccountForm({
  account,
  roles,
  suffix,
  acts,
  onClose,
  onDone,
}: {
  account: Account | null;
  roles: string[];
  suffix: string;
  acts: AccountActs;
  onClose: () => void;
  onDone: (invited: Invitation | null) => void;
}) {
  const [id, set_id] = useState(account?.id ?? "");
  const [now, set] = useState<Partial<Account>>(
    account ?? { role: roles.includes("read") ? "read" : (roles[0] ?? ""), sources: [] },
  );
  const put = (values: Partial<Account>) => set((old) => ({ ...old, ...values }));
  const role = (value: string) => ({ value, text: `${t_or(`role.${value}`, value)}` });
  async function save() {
    const { role: as, display_name, sources, valid_until, disabled, mail, certificates, vpn_user } = now;
    const body = {
      role: as ?? "",
      display_name: display_name ?? "",
      sources: sources ?? [],
      valid_until: valid_until ?? "",
      disabled: !!disabled,
      mail: mail ?? "",
      certificates: certificates ?? [],
      ...(as === "self" ? { vpn_user: vpn_user ?? "" } : {}),
    };
    if (account) {
      await closing(acts.change!(account.id, body), onClose);
      onDone(null);
    } else onDone(await closing(acts.add(id.trim(), body), onClose));
  }
  return (
    <Dialog
      title={account ? t("act.edit_one", { name: account.id }) : t("accounts.new")}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act look="lead" disabled={!id.trim() || !now.role} run={save}>
            {t(account ? "act.save" : "accounts.invite")}
          </Act>
        </>
      }
    >
      <div class="form">
        <TextField
          label={t("sign_in.account")}
          value={id}
          onChange={set_id}
          readOnly={!!account}
          hint={account ? "" : `${id || "name"}${suffix}`}
          maxLength={64}
          focus
        />
        <SelectField
          label={t("accounts.role")}
          value={now.role ?? ""}
          onChange={(value) => put({ role: value })}
          options={roles.map(role)}
          hint={t_or(`role.${now.role}.hint`, "")}
        />
        {now.role === "self" && (
          <TextField
            label={t("remote.user")}
            hint={t("accounts.vpn_user_hint")}
            value={now.vpn_user ?? ""}
            onChange={(vpn_user) => put({ vpn_user })}
            maxLength={64}
          />
        )}
        <TextField
          label={t("accounts.display_name")}
          value={now.display_name ?? ""}
          onChange={(display_name) => put({ display_name })}
          maxLength={64}
        />
        <TextField label={t("accounts.mail")} type="email" value={now.mail ?? ""} onChange={(mail) => put({ mail })} />
        <ListField
          wide
          label={t("accounts.sources")}
          hint={t("accounts.sources_hint")}
          value={now.sources ?? []}
          onChange={(sources) => put({ sources })}
          placeholder="198.51.100.0/24"
        />
        {account && (
          <ListField
            wide
            label={t("accounts.certificates")}
            hint={t("accounts.certificates_hint")}
            value={now.certificates ?? []}
            onChange={(certificates) => put({ certificates })}
          />
        )}
        {account && (
          <CheckField wide label={t("accounts.disabled")} value={!!now.disabled} onChange={(disabled) => put({ disabled })} />
        )}
      </div>
    </Dialog>
  );
}

export function InvitationDialog({ invitation, onClose }: { invitation: Invitation; onClose: () => void }) {
  const link = `${location.origin}/#/welcome/${invitation.link}`;
  return (
    <Dialog
      title={t("accounts.link_title")}
      onClose={onClose}
      foot={
        <>
          <Act icon="copy" done={t("accounts.copied")} run={() => navigator.clipboard.writeText(link)}>
            {t("act.copy")}
          </Act>
          <Button look="lead" onClick={onClose}>
            {t("act.close")}
          </Button>
        </>
      }
    >
      <div class="stack">
        <Note tone="warn">{t("accounts.link_text", { until: moment(invitation.until) })}</Note>
        <p class="secret">{link}</p>
      </div>
    </Dialog>
  );
}

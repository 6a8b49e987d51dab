// SPDX-License-Identifier: Apache-2.0
// The frame around every page: who is signed in, which tenant, the draft, and the way to the pages the role has.
import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { changed, draft, open_draft } from "./state/draft";
import { href, route } from "./state/route";
import { is_provider, look_at, may, session, sign_out } from "./state/session";
import { useStore } from "./state/store";
import { set_theme, theme, type Theme } from "./state/theme";
import { set_language, t, useLanguage, type Key } from "./text/text";
import { failure_text } from "./api/http";
import { Button, IconButton, Note, Toasts } from "./ui/basics";
import { Icon, Mark, type IconName } from "./ui/icons";
import { WaitingBar } from "./pages/commit";
import { DraftPage } from "./pages/commit";
import { Home } from "./pages/home";
import { Rules } from "./pages/rules";
import { Nat, Objects } from "./pages/objects";
import { Bindings } from "./pages/bindings";
import { Reach } from "./pages/reach";
import { Devices, Gateways, Users } from "./pages/remote";
import { Sessions } from "./pages/sessions";
import { Trial } from "./pages/trial";
import { OwnAccess } from "./pages/own_access";
import { Explain } from "./pages/explain";
import { Logs } from "./pages/logs";
import { Audit } from "./pages/audit";
import { Accounts } from "./pages/accounts";
import { Approvals } from "./pages/approvals";
import { Consents } from "./pages/consents";
import { Erasures } from "./pages/erasures";
import { Exports } from "./pages/exports";
import { Keys } from "./pages/keys";
import { Notifications } from "./pages/notifications";
import { Notices } from "./pages/notices";
import { Revisions } from "./pages/revisions";
import { Platform, Staff } from "./pages/platform";
import { UnitSettings } from "./pages/unit_settings";
import { Mine } from "./pages/mine";
import { SignIn } from "./pages/sign_in";

interface Page {
  path: string;
  title: Key;
  icon: IconName;
  view: ComponentType;
  action?: string;
  provider?: boolean;
}
const GROUPS: { title: Key; pages: Page[] }[] = [
  {
    title: "nav.unit",
    pages: [
      { path: "platform", title: "page.platform", icon: "platform", view: Platform, action: "platform_view", provider: true },
      {
        path: "unit-settings",
        title: "page.unit_settings",
        icon: "edit",
        view: UnitSettings,
        action: "platform_edit",
        provider: true,
      },
      { path: "staff", title: "page.staff", icon: "accounts", view: Staff, action: "staff_manage", provider: true },
      {
        path: "platform-notices",
        title: "page.notices",
        icon: "notices",
        view: Notices,
        action: "platform_edit",
        provider: true,
      },
      {
        path: "platform-erasures",
        title: "page.erasures",
        icon: "trash",
        view: Erasures,
        action: "platform_view",
        provider: true,
      },
      { path: "platform-keys", title: "page.keys", icon: "devices", view: Keys, action: "staff_manage", provider: true },
      {
        path: "platform-approvals",
        title: "page.approvals",
        icon: "check",
        view: Approvals,
        action: "platform_view",
        provider: true,
      },
      { path: "platform-audit", title: "page.audit", icon: "audit", view: Audit, action: "platform_audit", provider: true },
    ],
  },
  {
    title: "nav.firewall",
    pages: [
      { path: "", title: "page.home", icon: "home", view: Home, action: "contract_view" },
      { path: "rules", title: "page.rules", icon: "rules", view: Rules, action: "rules_view" },
      { path: "objects", title: "page.objects", icon: "objects", view: Objects, action: "rules_view" },
      { path: "nat", title: "page.nat", icon: "nat", view: Nat, action: "rules_view" },
      { path: "bindings", title: "page.bindings", icon: "binding", view: Bindings, action: "bindings_view" },
      { path: "explain", title: "page.explain", icon: "explain", view: Explain, action: "rules_view" },
    ],
  },
  {
    title: "nav.remote",
    pages: [
      { path: "own", title: "page.own_access", icon: "users", view: OwnAccess, action: "self_service" },
      { path: "gateways", title: "page.gateways", icon: "gateway", view: Gateways, action: "users_view" },
      { path: "users", title: "page.users", icon: "users", view: Users, action: "users_view" },
      { path: "reach", title: "page.reach", icon: "explain", view: Reach, action: "users_view" },
      { path: "trial", title: "page.trial", icon: "check", view: Trial, action: "users_edit" },
      { path: "devices", title: "page.devices", icon: "devices", view: Devices, action: "users_view" },
      { path: "sessions", title: "page.sessions", icon: "sessions", view: Sessions, action: "users_view" },
    ],
  },
  {
    title: "nav.records",
    pages: [
      { path: "logs", title: "page.logs", icon: "logs", view: Logs, action: "logs_read" },
      { path: "exports", title: "page.exports", icon: "logs", view: Exports, action: "log_exports" },
      { path: "audit", title: "page.audit", icon: "audit", view: Audit, action: "audit_read" },
      { path: "approvals", title: "page.approvals", icon: "check", view: Approvals, action: "commit" },
      { path: "revisions", title: "page.revisions", icon: "revisions", view: Revisions, action: "contract_view" },
    ],
  },
  {
    title: "nav.contract",
    pages: [
      { path: "notices", title: "page.notices", icon: "notices", view: Notices, action: "contract_view" },
      { path: "accounts", title: "page.accounts", icon: "accounts", view: Accounts, action: "accounts_manage" },
      { path: "keys", title: "page.keys", icon: "devices", view: Keys, action: "accounts_manage" },
      { path: "notifications", title: "page.notifications", icon: "notices", view: Notifications, action: "access_edit" },
      { path: "consents", title: "page.consents", icon: "consent", view: Consents, action: "contract_view" },
      { path: "erasures", title: "page.erasures", icon: "trash", view: Erasures, action: "erasure_view" },
    ],
  },
];
const HIDDEN: Page[] = [
  { path: "draft", title: "page.draft", icon: "check", view: DraftPage },
  { path: "mine", title: "page.mine", icon: "accounts", view: Mine },
];
/** Pages that show or change the tenant's document. */
const DRAFT_PAGES = new Set(
  "rules objects nat bindings gateways users reach trial devices notifications exports accounts draft explain".split(" "),
);

export function App() {
  const now = useStore(session);
  const at = useStore(route);
  useLanguage();
  if (now === undefined)
    return (
      <p class="empty" role="status">
        {t("state.loading")}
      </p>
    );
  return (
    <>
      {now === null || now.me.must || at.page.startsWith("welcome") ? <SignIn /> : <Frame />}
      <Toasts />
    </>
  );
}

function visible(page: Page): boolean {
  const now = session.get()!;
  if (page.provider) return is_provider(now.me) && may(page.action!);
  return now.tenant !== "" && (!page.action || may(page.action));
}

function Frame() {
  const now = useStore(session)!;
  const at = useStore(route);
  const [open, set_open] = useState(false);
  const main = useRef<HTMLElement>(null);
  const pages = [...GROUPS.flatMap((group) => group.pages), ...HIDDEN];
  const fallback = pages.find(visible);
  const home = pages.some((one) => one.path === "" && visible(one));
  const path = at.page === "" && !home ? fallback?.path : at.page;
  const page = pages.find((one) => one.path === path && (visible(one) || one.path === "mine"));
  useEffect(() => {
    set_open(false);
    main.current?.focus();
    scrollTo(0, 0);
  }, [at.page]);
  return (
    <div class="frame">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        {t("nav.skip")}
      </a>
      {open && <button type="button" class="veil" aria-label={t("act.close")} onClick={() => set_open(false)} />}
      <Side open={open} path={path ?? ""} />
      <Top open={open} onMenu={() => set_open(!open)} />
      <main class="main" id="main" tabIndex={-1} ref={main}>
        <WaitingBar />
        <div key={`${now.tenant}/${at.page}`}>{page ? <Shown page={page} /> : <Note tone="warn">{t("error.no_page")}</Note>}</div>
      </main>
    </div>
  );
}

/** A page; those that work on the document have it before they are drawn. */
function Shown({ page }: { page: Page }) {
  const { tenant } = useStore(session)!;
  const one = useStore(draft);
  const [error, set_error] = useState("");
  const needs = DRAFT_PAGES.has(page.path) && one?.tenant !== tenant;
  useEffect(() => {
    if (needs) open_draft(tenant).catch((failure: unknown) => set_error(failure_text(failure)));
  }, [needs, tenant]);
  if (error) return <Note tone="bad">{error}</Note>;
  if (needs)
    return (
      <p class="empty" role="status">
        {t("state.loading")}
      </p>
    );
  return <page.view />;
}

function Side({ open, path }: { open: boolean; path: string }) {
  return (
    <nav class={`side ${open ? "open" : ""}`} aria-label={t("nav.pages")} id="pages">
      <a class="brand" href={href("")}>
        <Mark />
        <span>
          Sekisho<small>{t("nav.tagline")}</small>
        </span>
      </a>
      {GROUPS.map((group) => {
        const pages = group.pages.filter(visible);
        return (
          pages.length > 0 && (
            <div key={group.title}>
              <h2>{t(group.title)}</h2>
              <ul>
                {pages.map((page) => (
                  <li key={page.path}>
                    <a href={href(page.path)} aria-current={page.path === path ? "page" : undefined}>
                      <Icon name={page.icon} />
                      {t(page.title)}
                    </a>
                  </li>
                ))}
              </ul>
            </div>
          )
        );
      })}
    </nav>
  );
}

function Top({ open, onMenu }: { open: boolean; onMenu: () => void }) {
  const now = useStore(session)!;
  const one = useStore(draft);
  const look = useStore(theme);
  const language = useLanguage();
  const provider = is_provider(now.me);
  return (
    <header class="top">
      <span class="burger">
        <Button look="quiet" icon="menu" aria-label={t("nav.menu")} aria-expanded={open} aria-controls="pages" onClick={onMenu} />
      </span>
      {(now.tenants.length > 1 || provider) && (
        <select
          class="input"
          aria-label={t("nav.tenant")}
          value={now.tenant}
          onChange={(event) => look_at(event.currentTarget.value)}
        >
          {provider && <option value="">{t("nav.no_tenant")}</option>}
          {now.tenants.map((tenant) => (
            <option key={tenant.service_code} value={tenant.service_code}>
              {tenant.name} · {tenant.service_code}
            </option>
          ))}
        </select>
      )}
      {now.tenants.length === 1 && !provider && (
        <span>
          <b>{now.tenants[0]!.name}</b> <span class="soft mono wide-only">{now.tenants[0]!.service_code}</span>
        </span>
      )}
      <span class="grow" />
      {one && changed(one) && (
        <a class="button lead" href={href("draft")}>
          <Icon name="edit" />
          {t("draft.review")}
        </a>
      )}
      <select
        class="input wide-only"
        aria-label={t("nav.language")}
        value={language}
        onChange={(event) => set_language(event.currentTarget.value as "en" | "ja")}
      >
        <option value="en">English</option>
        <option value="ja">日本語</option>
      </select>
      <select
        class="input wide-only"
        aria-label={t("nav.theme")}
        value={look}
        onChange={(event) => set_theme(event.currentTarget.value as Theme)}
      >
        <option value="auto">{t("theme.auto")}</option>
        <option value="light">{t("theme.light")}</option>
        <option value="dark">{t("theme.dark")}</option>
      </select>
      <a class="button quiet" href={href("mine")}>
        <Icon name="accounts" />
        <span class="wide-only">{now.me.display_name || now.me.account}</span>
        <span class="hidden">{t("page.mine")}</span>
      </a>
      <IconButton icon="out" label={t("act.sign_out")} onClick={() => void sign_out()} />
    </header>
  );
}

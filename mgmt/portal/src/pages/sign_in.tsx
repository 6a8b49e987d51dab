// SPDX-License-Identifier: Apache-2.0
// Before anybody is in: name and password, the code of the second factor, a first-login link, and what a new account has to set.
import { useEffect, useState } from "preact/hooks";
import { failure_text, Refusal } from "../api/http";
import { api } from "../api/methods";
import type { Banner, LoginReply, TotpSecret } from "../api/types";
import { href, route } from "../state/route";
import { begin, session, sign_in_note, sign_out } from "../state/session";
import { useStore } from "../state/store";
import { set_language, t, useLanguage } from "../text/text";
import { Button, Note } from "../ui/basics";
import { TextField } from "../ui/fields";
import { Mark } from "../ui/icons";

export function SignIn() {
  const now = useStore(session);
  const at = useStore(route);
  const language = useLanguage();
  const [banner, set_banner] = useState<Banner>({});
  useEffect(() => {
    document.title = `${t("sign_in.title")} – Sekisho`;
  }, [language]);
  useEffect(() => {
    api.banner().then(set_banner, () => undefined);
  }, []);
  const link = at.page.startsWith("welcome/") ? at.page.slice("welcome/".length) : "";
  return (
    <main class="gate">
      <div class="gate-card">
        <div class="gate-brand">
          <Mark />
          <h1>Sekisho</h1>
          <p class="soft">{t("nav.tagline")}</p>
        </div>
        <div class="card">
          {now?.me.must === "password" ? (
            <NewPassword rule={banner.password_rule} />
          ) : now?.me.must === "totp" ? (
            <Enrol />
          ) : link ? (
            <Welcome link={link} />
          ) : (
            <Password />
          )}
        </div>
        {banner.text && <Note>{banner.text}</Note>}
        <p class="row end small">
          <Button
            look="quiet"
            lang={language === "en" ? "ja" : "en"}
            onClick={() => set_language(language === "en" ? "ja" : "en")}
          >
            {language === "en" ? "日本語" : "English"}
          </Button>
        </p>
      </div>
    </main>
  );
}

function useSubmit(send: () => Promise<void>) {
  const [error, set_error] = useState("");
  const [busy, set_busy] = useState(false);
  async function submit(event: Event) {
    event.preventDefault();
    set_busy(true);
    set_error("");
    try {
      await send();
    } catch (failure) {
      set_error(failure_text(failure));
    } finally {
      set_busy(false);
    }
  }
  return { error, busy, submit: (event: Event) => void submit(event) };
}

const enter = (reply: LoginReply): Promise<void> => begin(reply.me, reply.csrf);

function Password() {
  const note = useStore(sign_in_note);
  const [account, set_account] = useState("");
  const [password, set_password] = useState("");
  const [code, set_code] = useState("");
  const [asked, set_asked] = useState(false);
  const { error, busy, submit } = useSubmit(async () => {
    try {
      await enter(await api.login(account, password, code));
    } catch (failure) {
      if (!(failure instanceof Refusal)) throw failure;
      if (failure.code === "code_needed" && !asked) return set_asked(true);
      set_code("");
      throw failure.status === 401 ? new Error(t("sign_in.refused")) : failure;
    }
  });
  return (
    <form class="stack" onSubmit={submit} noValidate>
      <h2>{t(asked ? "sign_in.code_title" : "sign_in.title")}</h2>
      {note && !error && (
        <Note tone={note === "ended" ? "warn" : "good"}>{t(note === "ended" ? "sign_in.ended" : "sign_in.bye")}</Note>
      )}
      {error && <Note tone="bad">{error}</Note>}
      {asked ? (
        <TextField
          key="code"
          label={t("sign_in.code")}
          hint={t("sign_in.code_hint")}
          class="code-input"
          value={code}
          onChange={set_code}
          inputMode="numeric"
          autoComplete="one-time-code"
          maxLength={6}
          focus
        />
      ) : (
        <>
          <TextField
            label={t("sign_in.account")}
            value={account}
            onChange={set_account}
            autoComplete="username"
            placeholder={t("sign_in.account_example")}
            focus
          />
          <TextField
            label={t("sign_in.password")}
            type="password"
            value={password}
            onChange={set_password}
            autoComplete="current-password"
          />
        </>
      )}
      <Button type="submit" look="lead" disabled={busy || !account || !password || (asked && code.length < 6)}>
        {t("sign_in.go")}
      </Button>
      {asked && (
        <Button
          look="quiet"
          onClick={() => {
            set_asked(false);
            set_code("");
          }}
        >
          {t("act.back")}
        </Button>
      )}
    </form>
  );
}

function Welcome({ link }: { link: string }) {
  const { error, busy, submit } = useSubmit(async () => {
    const reply = await api.login_by_link(link);
    location.replace(href("")); // the link leaves the browser's history
    await enter(reply);
  });
  return (
    <form class="stack" onSubmit={submit}>
      <h2>{t("sign_in.welcome")}</h2>
      <p class="soft">{t("sign_in.welcome_text")}</p>
      {error && <Note tone="bad">{error}</Note>}
      <Button type="submit" look="lead" disabled={busy}>
        {t("sign_in.welcome_go")}
      </Button>
    </form>
  );
}

/** "12 3": twelve characters of three kinds. */
function rule_text(rule: string | undefined): string {
  const [length, kinds] = (rule ?? "").split(" ");
  return length && Number(kinds) > 1 ? t("sign_in.password_rule_of", { length, kinds: kinds! }) : t("sign_in.password_rule");
}

function NewPassword({ rule }: { rule: string | undefined }) {
  const [first, set_first] = useState("");
  const [second, set_second] = useState("");
  const differ = second !== "" && !first.startsWith(second) && first !== second;
  const { error, busy, submit } = useSubmit(async () => begin(await api.set_password("", first), session.get()?.me.csrf));
  return (
    <form class="stack" onSubmit={submit} noValidate>
      <h2>{t("sign_in.new_password")}</h2>
      <p class="soft">{session.get()?.me.account}</p>
      {error && <Note tone="bad">{error}</Note>}
      <TextField
        label={t("sign_in.password_new")}
        hint={rule_text(rule)}
        type="password"
        value={first}
        onChange={set_first}
        autoComplete="new-password"
        focus
      />
      <TextField
        label={t("sign_in.password_again")}
        type="password"
        value={second}
        onChange={set_second}
        autoComplete="new-password"
        error={differ ? t("sign_in.password_differs") : ""}
      />
      <Button type="submit" look="lead" disabled={busy || !first || first !== second}>
        {t("act.next")}
      </Button>
      <Button look="quiet" onClick={() => void sign_out()}>
        {t("act.cancel")}
      </Button>
    </form>
  );
}

export function Enrol({ done }: { done?: () => void }) {
  const [secret, set_secret] = useState<TotpSecret | null>(null);
  const [failure, set_failure] = useState("");
  const [code, set_code] = useState("");
  useEffect(() => {
    api.begin_totp().then(set_secret, (error: unknown) => set_failure(failure_text(error)));
  }, []);
  const { error, busy, submit } = useSubmit(async () => {
    await begin(await api.confirm_totp(code), session.get()?.me.csrf);
    done?.();
  });
  return (
    <form class="stack" onSubmit={submit} noValidate>
      <h2>{t("sign_in.enrol")}</h2>
      <p class="soft">{t("sign_in.enrol_text")}</p>
      {(error || failure) && <Note tone="bad">{error || failure}</Note>}
      {secret && (
        <p class="secret" aria-label={t("sign_in.secret")}>
          {secret.secret.replace(/(.{4})/g, "$1 ").trim()}
        </p>
      )}
      {secret && <a href={secret.uri}>{t("sign_in.open_app")}</a>}
      <TextField
        label={t("sign_in.code")}
        class="code-input"
        value={code}
        onChange={set_code}
        inputMode="numeric"
        autoComplete="one-time-code"
        maxLength={6}
      />
      <Button type="submit" look="lead" disabled={busy || !secret || code.length < 6}>
        {t("sign_in.enrol_go")}
      </Button>
    </form>
  );
}

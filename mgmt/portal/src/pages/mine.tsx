// SPDX-License-Identifier: Apache-2.0
// One's own account: password, second factor, where one is signed in, and how the portal looks.
import { useState } from "preact/hooks";
import { api } from "../api/methods";
import { begin, session } from "../state/session";
import { useStore } from "../state/store";
import { set_theme, theme, type Theme } from "../state/theme";
import { moment, set_language, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, Dialog, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { SelectField, TextField } from "../ui/fields";
import { Table } from "../ui/table";
import { Enrol } from "./sign_in";

export function Mine() {
  const language = useLanguage();
  const { me } = useStore(session)!;
  const look = useStore(theme);
  const places = useLoad(api.my_sessions, []);
  const [old, set_old] = useState("");
  const [next, set_next] = useState("");
  const [again, set_again] = useState("");
  const [enrolling, set_enrolling] = useState(false);
  return (
    <>
      <PageHead title={t("page.mine")} />
      <div class="grid">
        <Card title={me.display_name || me.account}>
          {!!me.failures_since && <Note tone="warn">{t("mine.failures", { n: me.failures_since })}</Note>}
          <dl class="facts">
            <dt>{t("sign_in.account")}</dt>
            <dd class="mono">{me.account}</dd>
            <dt>{t("accounts.role")}</dt>
            <dd>{t_or(`role.${me.role}`, me.role)}</dd>
            <dt>{t("accounts.last_login")}</dt>
            <dd>
              {moment(me.last_login)} {me.last_source}
            </dd>
            <dt>{t("mine.ends")}</dt>
            <dd>{moment(me.end)}</dd>
            <dt>{t("mine.factor")}</dt>
            <dd>
              <Badge tone={me.totp ? "good" : "warn"}>{t(me.totp ? "accounts.totp" : "accounts.no_totp")}</Badge>{" "}
              <Button look="quiet" onClick={() => set_enrolling(true)}>
                {t("mine.enrol")}
              </Button>
            </dd>
          </dl>
        </Card>
        <Card title={t("mine.look")}>
          <div class="form">
            <SelectField
              label={t("nav.language")}
              value={language}
              onChange={set_language}
              options={[
                { value: "en", text: "English" },
                { value: "ja", text: "日本語" },
              ]}
            />
            <SelectField<Theme>
              label={t("nav.theme")}
              value={look}
              onChange={set_theme}
              options={(["auto", "light", "dark"] as const).map((value) => ({ value, text: t(`theme.${value}`) }))}
            />
          </div>
        </Card>
        <Card title={t("mine.password")}>
          <div class="stack">
            <TextField
              label={t("mine.password_old")}
              type="password"
              value={old}
              onChange={set_old}
              autoComplete="current-password"
            />
            <TextField
              label={t("sign_in.password_new")}
              type="password"
              value={next}
              onChange={set_next}
              autoComplete="new-password"
              hint={t("sign_in.password_rule")}
            />
            <TextField
              label={t("sign_in.password_again")}
              type="password"
              value={again}
              onChange={set_again}
              autoComplete="new-password"
              error={again && !next.startsWith(again) ? t("sign_in.password_differs") : ""}
            />
            <div class="row end">
              <Act
                look="lead"
                disabled={!old || !next || next !== again}
                done={t("mine.password_done")}
                run={async () => {
                  await begin(await api.set_password(old, next), me.csrf);
                  set_old("");
                  set_next("");
                  set_again("");
                  places.again();
                }}
              >
                {t("act.save")}
              </Act>
            </div>
          </div>
        </Card>
        <Loaded from={places}>
          {({ sessions = [] }) => (
            <Card
              flush
              title={t("mine.places")}
              tools={
                sessions.length > 1 && (
                  <Act
                    look="quiet"
                    done={t("mine.ended")}
                    run={async () => {
                      await api.end_my_sessions();
                      places.again();
                    }}
                  >
                    {t("mine.end_others")}
                  </Act>
                )
              }
            >
              <Table
                caption={t("mine.places")}
                rows={sessions}
                id={(one) => `${one.source}${one.since}`}
                columns={[
                  {
                    key: "source",
                    title: t("sessions.from"),
                    header: true,
                    cell: (one) => (
                      <>
                        <span class="mono">{one.source}</span> {one.current && <Badge tone="good">{t("mine.this")}</Badge>}
                      </>
                    ),
                  },
                  { key: "since", title: t("sessions.since"), cell: (one) => <span class="nowrap">{moment(one.since)}</span> },
                  { key: "last", title: t("mine.last"), cell: (one) => <span class="nowrap">{moment(one.last)}</span> },
                ]}
              />
            </Card>
          )}
        </Loaded>
      </div>
      {enrolling && (
        <Dialog title={t("sign_in.enrol")} onClose={() => set_enrolling(false)}>
          <Enrol done={() => set_enrolling(false)} />
        </Dialog>
      )}
    </>
  );
}

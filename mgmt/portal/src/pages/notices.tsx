// SPDX-License-Identifier: Apache-2.0
// Maintenance, changes and incidents: tenants read them, the provider writes them.
import { useState } from "preact/hooks";
import { api } from "../api/methods";
import type { Notice, NoticeList } from "../api/types";
import { route } from "../state/route";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { language, moment, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, Dialog, IconButton, Loaded, Note, PageHead, useLoad, type Tone } from "../ui/basics";
import { AreaField, ListField, SelectField, TextField } from "../ui/fields";

const title = (notice: Notice): string =>
  (language.get() === "ja" ? notice.title_ja || notice.title_en : notice.title_en || notice.title_ja) ?? "";
const body = (notice: Notice): string =>
  (language.get() === "ja" ? notice.text_ja || notice.text_en : notice.text_en || notice.text_ja) ?? "";
const KIND_TONES: Record<string, Tone> = { incident: "bad", maintenance: "warn", change: "lead" };
const STATE_TONES: Record<string, Tone> = { running: "warn", planned: "lead", done: "", cancelled: "" };

/** What somebody should know today. */
export function open_notices(list: NoticeList | undefined): Notice[] {
  return (list?.notices ?? []).filter((notice) => notice.state === "planned" || notice.state === "running");
}

export function NoticeLine({ notice }: { notice: Notice }) {
  return (
    <Note tone={notice.kind === "incident" ? "bad" : "warn"}>
      <b>
        {t_or(`notice.${notice.kind}`, notice.kind)}: {title(notice)}
      </b>
      {notice.from && (
        <span class="soft">
          {" "}
          {moment(notice.from)} – {moment(notice.until)}
        </span>
      )}
    </Note>
  );
}

export function Notices() {
  useLanguage();
  const { tenant } = useStore(session)!;
  const platform = useStore(route).page.startsWith("platform");
  const writable = platform && may("platform_edit");
  const list = useLoad(() => (platform ? api.all_notices() : api.notices(tenant)), [tenant, platform]);
  const [form, set_form] = useState<Notice | null>(null);
  return (
    <>
      <PageHead title={t("page.notices")} lead={t("notices.lead")}>
        {writable && (
          <Button look="lead" icon="plus" onClick={() => set_form({ kind: "maintenance", state: "planned" })}>
            {t("notices.new")}
          </Button>
        )}
      </PageHead>
      <Loaded from={list}>
        {({ notices = [] }) => (
          <div class="stack">
            {!notices.length && (
              <Card>
                <p class="empty">{t("notices.none")}</p>
              </Card>
            )}
            {notices.map((notice) => (
              <Card
                key={notice.id}
                title={title(notice)}
                tools={
                  <div class="row">
                    <Badge tone={KIND_TONES[notice.kind] ?? ""}>{t_or(`notice.${notice.kind}`, notice.kind)}</Badge>
                    <Badge tone={STATE_TONES[notice.state ?? ""] ?? ""}>
                      {t_or(`notice.${notice.state}`, notice.state ?? "")}
                    </Badge>
                    {writable && (
                      <IconButton
                        icon="edit"
                        label={t("act.edit_one", { name: title(notice) })}
                        onClick={() => set_form(notice)}
                      />
                    )}
                  </div>
                }
              >
                <p class="soft small">
                  {moment(notice.from)} – {moment(notice.until)} JST
                  {platform && ` · ${notice.tenants?.join(", ") || t("notices.all")}`}
                </p>
                <p>{body(notice)}</p>
              </Card>
            ))}
          </div>
        )}
      </Loaded>
      {form && (
        <NoticeForm
          notice={form}
          onClose={() => set_form(null)}
          onDone={() => {
            set_form(null);
            list.again();
          }}
        />
      )}
    </>
  );
}

/** RFC 3339 to what an input of kind datetime-local holds, in Japan's time, and back. */
const to_field = (at: string | undefined): string => (at ? moment(at).slice(0, 16).replace(" ", "T") : "");
const from_field = (text: string): string => (text ? `${text}:00+09:00` : "");

function NoticeForm({ notice, onClose, onDone }: { notice: Notice; onClose: () => void; onDone: () => void }) {
  const { tenants } = useStore(session)!;
  const [now, set] = useState<Notice>(notice);
  const put = (values: Partial<Notice>) => set((old) => ({ ...old, ...values }));
  return (
    <Dialog
      size="large"
      title={t(notice.id ? "notices.edit" : "notices.new")}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act
            look="lead"
            disabled={!now.title_en && !now.title_ja}
            run={async () => {
              const { changed: _, ...rest } = now;
              await (notice.id ? api.change_notice(notice.id, rest) : api.add_notice(rest));
              onDone();
            }}
          >
            {t("notices.publish")}
          </Act>
        </>
      }
    >
      <div class="form">
        <SelectField
          label={t("notices.kind")}
          value={now.kind}
          onChange={(kind) => put({ kind })}
          options={["maintenance", "change", "incident"].map((value) => ({ value, text: t_or(`notice.${value}`, value) }))}
        />
        <SelectField
          label={t("form.state")}
          value={now.state ?? "planned"}
          onChange={(state) => put({ state })}
          options={["planned", "running", "done", "cancelled"].map((value) => ({ value, text: t_or(`notice.${value}`, value) }))}
        />
        <TextField
          label={t("notices.from")}
          type="datetime-local"
          value={to_field(now.from)}
          onChange={(text) => put({ from: from_field(text) })}
        />
        <TextField
          label={t("notices.until")}
          type="datetime-local"
          value={to_field(now.until)}
          onChange={(text) => put({ until: from_field(text) })}
        />
        <TextField
          label={t("notices.title_ja")}
          value={now.title_ja ?? ""}
          onChange={(title_ja) => put({ title_ja })}
          maxLength={120}
        />
        <TextField
          label={t("notices.title_en")}
          value={now.title_en ?? ""}
          onChange={(title_en) => put({ title_en })}
          maxLength={120}
        />
        <AreaField label={t("notices.text_ja")} value={now.text_ja ?? ""} onChange={(text_ja) => put({ text_ja })} />
        <AreaField label={t("notices.text_en")} value={now.text_en ?? ""} onChange={(text_en) => put({ text_en })} />
        <ListField
          wide
          label={t("notices.tenants")}
          hint={t("notices.tenants_hint")}
          value={now.tenants ?? []}
          onChange={(some) => put({ tenants: some })}
          from={tenants.map((one) => one.service_code)}
        />
      </div>
    </Dialog>
  );
}

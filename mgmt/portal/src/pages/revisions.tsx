// SPDX-License-Identifier: Apache-2.0
// What was in force, what changed from one revision to the next, the way back, and the tenant's own copy.
import { useState } from "preact/hooks";
import { save_blob } from "../api/http";
import { api, waits_for_approval } from "../api/methods";
import type { Revision } from "../api/types";
import { draft, see_waiting } from "../state/draft";
import { may, session } from "../state/session";
import { useStore } from "../state/store";
import { say } from "../state/toasts";
import { moment, t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, Dialog, Loaded, PageHead, useLoad } from "../ui/basics";
import { SelectField, TextField } from "../ui/fields";
import { Table } from "../ui/table";
import { Changes } from "./commit";

export function Revisions() {
  useLanguage();
  const { tenant } = useStore(session)!;
  const list = useLoad(async () => {
    const now = await api.revisions(tenant);
    see_waiting(tenant, now);
    return now;
  }, [tenant]);
  const [shown, set_shown] = useState<Revision | null>(null);
  const [back, set_back] = useState<Revision | null>(null);
  return (
    <>
      <PageHead title={t("page.revisions")} lead={t("revisions.lead")} />
      <Loaded from={list}>
        {({ revisions = [], running }) => (
          <div class="stack">
            <Card flush title={t("revisions.list")}>
              <Table<Revision>
                caption={t("page.revisions")}
                rows={revisions}
                id={(one) => String(one.number)}
                columns={[
                  {
                    key: "number",
                    title: t("home.revision"),
                    header: true,
                    cell: (one) => (
                      <>
                        {one.number} {one.number === running && <Badge tone="good">{t("revisions.running")}</Badge>}
                      </>
                    ),
                  },
                  { key: "state", title: t("form.state"), cell: (one) => t_or(`revision.${one.state}`, one.state ?? "") },
                  { key: "created", title: t("logs.time"), cell: (one) => <span class="nowrap">{moment(one.created)}</span> },
                  { key: "author", title: t("audit.actor"), cell: (one) => one.author },
                  {
                    key: "comment",
                    title: t("draft.comment"),
                    cell: (one) => (
                      <>
                        {one.comment}
                        {one.copied_from ? <span class="soft"> ({t("revisions.copy_of", { n: one.copied_from })})</span> : ""}
                      </>
                    ),
                  },
                  {
                    key: "acts",
                    title: t("rules.acts"),
                    hide_title: true,
                    cell: (one) => (
                      <div class="row-acts">
                        <Button look="quiet" onClick={() => set_shown(one)}>
                          {t("revisions.diff")}
                          <span class="hidden"> {one.number}</span>
                        </Button>
                        {one.number !== running && may("commit") && (
                          <Button look="quiet" icon="undo" onClick={() => set_back(one)}>
                            {t("revisions.back")}
                            <span class="hidden"> {one.number}</span>
                          </Button>
                        )}
                      </div>
                    ),
                  },
                ]}
              />
            </Card>
            {may("backup") && <Backup tenant={tenant} again={list.again} />}
          </div>
        )}
      </Loaded>
      {shown && (
        <DiffDialog tenant={tenant} revision={shown} list={list.value?.revisions ?? []} onClose={() => set_shown(null)} />
      )}
      {back && (
        <BackDialog
          tenant={tenant}
          revision={back}
          running={list.value?.running ?? 0}
          onClose={() => set_back(null)}
          onDone={() => {
            set_back(null);
            list.again();
          }}
        />
      )}
    </>
  );
}

function DiffDialog({
  tenant,
  revision,
  list,
  onClose,
}: {
  tenant: string;
  revision: Revision;
  list: Revision[];
  onClose: () => void;
}) {
  const older = list.filter((one) => one.number < revision.number);
  const [against, set_against] = useState(String(older[0]?.number ?? revision.number));
  const diff = useLoad(() => api.diff(tenant, Number(against), revision.number), [against]);
  return (
    <Dialog
      size="large"
      title={t("revisions.diff_title", { n: revision.number })}
      onClose={onClose}
      foot={<Button onClick={onClose}>{t("act.close")}</Button>}
    >
      <div class="stack">
        {older.length > 0 && (
          <SelectField
            label={t("revisions.against")}
            value={against}
            onChange={set_against}
            options={older.map((one) => ({
              value: String(one.number),
              text: `${one.number} · ${moment(one.created)} ${one.comment ?? ""}`,
            }))}
          />
        )}
        <Loaded from={diff}>{({ changes = [] }) => <Changes changes={changes} />}</Loaded>
      </div>
    </Dialog>
  );
}

function BackDialog({
  tenant,
  revision,
  running,
  onClose,
  onDone,
}: {
  tenant: string;
  revision: Revision;
  running: number;
  onClose: () => void;
  onDone: () => void;
}) {
  const diff = useLoad(() => api.diff(tenant, running, revision.number), []);
  const [comment, set_comment] = useState("");
  return (
    <Dialog
      size="large"
      title={t("revisions.back_title", { n: revision.number })}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act
            look="lead"
            icon="undo"
            run={async () => {
              const done = await api.roll_back(tenant, revision.number, comment, 120);
              if (waits_for_approval(done)) {
                say(t("approvals.asked"), "warn");
                return onDone();
              }
              draft.set(null);
              see_waiting(tenant, {
                waiting_confirmation: done.confirm_seconds ? done.revision : 0,
                roll_back_at: new Date(Date.now() + (done.confirm_seconds ?? 0) * 1000).toISOString(),
              });
              say(
                t(done.confirm_seconds ? "draft.waits" : "draft.done", {
                  revision: done.revision,
                  ms: Math.round(done.milliseconds ?? 0),
                }),
                "warn",
              );
              onDone();
            }}
          >
            {t("revisions.back")}
          </Act>
        </>
      }
    >
      <div class="stack">
        <Loaded from={diff}>{({ changes = [] }) => <Changes changes={changes} />}</Loaded>
        <TextField label={t("draft.comment")} value={comment} onChange={set_comment} maxLength={256} />
      </div>
    </Dialog>
  );
}

function Backup({ tenant, again }: { tenant: string; again: () => void }) {
  const [phrase, set_phrase] = useState("");
  const [file, set_file] = useState<{ name: string; text: string } | null>(null);
  return (
    <Card title={t("backup.title")}>
      <div class="form">
        <p class="wide soft">{t("backup.text")}</p>
        <TextField
          label={t("backup.passphrase")}
          type="password"
          value={phrase}
          onChange={set_phrase}
          hint={t("backup.passphrase_hint")}
          autoComplete="new-password"
        />
        <div class="field">
          <label for="restore">{t("backup.file")}</label>
          <input
            id="restore"
            class="input"
            type="file"
            accept=".json,.yaml,.yml,.txt"
            onChange={(event) => {
              const chosen = event.currentTarget.files?.[0];
              if (chosen) void chosen.text().then((text) => set_file({ name: chosen.name, text }));
              else set_file(null);
            }}
          />
        </div>
        <div class="wide row end">
          <Act
            icon="download"
            run={async () => {
              const saved = await api.export_config(tenant, phrase);
              save_blob(saved.file_name, new Blob([saved.text]));
            }}
          >
            {t("backup.export")}
          </Act>
          <Act
            look="danger"
            disabled={!file || !may("commit")}
            run={async () => {
              const done = await api.import_config(tenant, file!.text, phrase, t("backup.comment", { name: file!.name }), 120);
              if (waits_for_approval(done)) return say(t("approvals.asked"), "warn");
              draft.set(null);
              say(t("draft.waits", { revision: done.revision }), "warn");
              again();
            }}
          >
            {t("backup.import")}
          </Act>
        </div>
      </div>
    </Card>
  );
}

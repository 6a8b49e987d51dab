// SPDX-License-Identifier: Apache-2.0
// A list of the document from a file: a dry run first, then into the draft.
import { useState } from "preact/hooks";
import { failure_text } from "../api/http";
import { api } from "../api/methods";
import type { Document, Finding, NamedItem } from "../api/types";
import { FindingPlace } from "../pages/finding";
import type { ItemKind } from "../pages/kinds";
import { BYTES_MAX, from_csv, text_of, type Reading } from "../state/csv";
import { draft, edit } from "../state/draft";
import { say } from "../state/toasts";
import { t } from "../text/text";
import { Button, Dialog, Note } from "./basics";

const SHOWN_MAX = 20;

function put_into(kind: ItemKind, reading: Reading, document: Document): void {
  const changed = new Map(reading.changed.map((item) => [item.name, item]));
  const items = ((document[kind.list] as NamedItem[] | undefined) ?? []).map((item) => changed.get(item.name) ?? item);
  document[kind.list] = [...items, ...reading.added];
}

export function CsvDialog({ kind, onClose }: { kind: ItemKind; onClose: () => void }) {
  const [reading, set_reading] = useState<Reading | null>(null);
  const [findings, set_findings] = useState<Finding[] | null>(null);
  const [candidate, set_candidate] = useState<Document>();
  const [error, set_error] = useState("");
  async function read(file: File | undefined) {
    set_reading(null);
    set_findings(null);
    set_error("");
    if (!file) return;
    const text = file.size <= BYTES_MAX ? text_of(await file.arrayBuffer()) : null;
    if (text === null) return set_error(t("csv.unreadable"));
    const { tenant, document } = draft.get()!;
    const found = from_csv(kind, text, (document[kind.list] as NamedItem[] | undefined) ?? []);
    set_reading(found);
    if (found.wrong.length) return;
    const after = structuredClone(document);
    put_into(kind, found, after);
    set_candidate(after);
    try {
      set_findings((await api.check(tenant, after)).findings ?? []);
    } catch (failure) {
      set_error(failure_text(failure));
    }
  }
  const errors = (findings ?? []).filter((one) => one.severity === "error");
  const some = !!reading && !reading.wrong.length && reading.added.length + reading.changed.length > 0;
  return (
    <Dialog
      title={`${t("csv.import")}: ${t(kind.title)}`}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Button
            look="lead"
            disabled={!some || !findings || errors.length > 0}
            onClick={() => {
              edit((document) => put_into(kind, reading!, document));
              say(t("csv.done", { n: reading!.added.length + reading!.changed.length }));
              onClose();
            }}
          >
            {t("act.to_draft")}
          </Button>
        </>
      }
    >
      <div class="stack">
        <p class="soft">{t("csv.lead")}</p>
        <div class="field">
          <label for="csv-file">{t("csv.file")}</label>
          <input
            id="csv-file"
            class="input"
            type="file"
            accept=".csv,text/csv"
            onChange={(event) => void read(event.currentTarget.files?.[0])}
          />
        </div>
        <div class="stack" role="status">
          {error && <Note tone="bad">{error}</Note>}
          {reading && !reading.wrong.length && (
            <Note tone={errors.length ? "warn" : "good"}>
              {t("csv.counts", { added: reading.added.length, changed: reading.changed.length, same: reading.same })}
            </Note>
          )}
          {!!reading?.wrong.length && (
            <Note tone="bad">
              {t("csv.wrong", { n: reading.wrong.length })}
              <ul>
                {reading.wrong.slice(0, SHOWN_MAX).map((one) => (
                  <li key={`${one.line} ${one.word}`}>
                    {one.line > 0 && t("csv.line", { line: one.line })} {t(`csv.wrong.${one.what}`, { word: one.word })}
                  </li>
                ))}
              </ul>
            </Note>
          )}
          {!!findings?.length && (
            <Note tone={errors.length ? "bad" : "warn"}>
              {t("csv.findings", { n: findings.length })}
              <ul>
                {[...errors, ...findings.filter((one) => one.severity !== "error")].slice(0, SHOWN_MAX).map((one, index) => (
                  <li key={index}>
                    <FindingPlace document={candidate} finding={one} />
                  </li>
                ))}
              </ul>
            </Note>
          )}
        </div>
      </div>
    </Dialog>
  );
}

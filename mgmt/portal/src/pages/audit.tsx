// SPDX-License-Identifier: Apache-2.0
// What people did, the provider's visits among it.
import { useEffect, useState } from "preact/hooks";
import { failure_text } from "../api/http";
import { api } from "../api/methods";
import type { AuditEntry } from "../api/types";
import { route } from "../state/route";
import { session } from "../state/session";
import { useStore } from "../state/store";
import { moment, t, t_or, useLanguage } from "../text/text";
import { Badge, Button, Card, Note, PageHead } from "../ui/basics";
import { Table } from "../ui/table";

export function Audit() {
  useLanguage();
  const { tenant } = useStore(session)!;
  const platform = useStore(route).page.startsWith("platform");
  const [entries, set_entries] = useState<AuditEntry[] | null>(null);
  const [more, set_more] = useState(false);
  const [error, set_error] = useState("");
  async function load(before: AuditEntry[]) {
    try {
      const last = before.at(-1)?.number ?? "";
      const reply = await (platform ? api.platform_audit(last) : api.audit(tenant, last));
      set_entries([...before, ...(reply.entries ?? [])]);
      set_more(!!reply.more);
    } catch (failure) {
      set_error(failure_text(failure));
    }
  }
  useEffect(() => {
    void load([]);
  }, [tenant, platform]);
  return (
    <>
      <PageHead title={t("page.audit")} lead={t(platform ? "audit.platform_lead" : "audit.lead")} />
      {error && <Note tone="bad">{error}</Note>}
      {entries && (
        <Card flush>
          <Table<AuditEntry>
            caption={t("page.audit")}
            rows={entries}
            id={(entry) => String(entry.number)}
            columns={[
              { key: "at", title: t("logs.time"), header: true, cell: (entry) => <span class="nowrap">{moment(entry.at)}</span> },
              {
                key: "actor",
                title: t("audit.actor"),
                cell: (entry) => (
                  <>
                    {entry.actor} {entry.actor_kind === "provider" && <Badge tone="warn">{t("audit.provider")}</Badge>}
                    <div class="small soft">
                      {[t_or(`role.${entry.role}`, entry.role ?? ""), entry.source].filter(Boolean).join(" · ")}
                    </div>
                  </>
                ),
              },
              ...(platform
                ? [
                    {
                      key: "tenant",
                      title: t("nav.tenant"),
                      cell: (entry: AuditEntry) => <span class="mono">{entry.tenant || "–"}</span>,
                    },
                  ]
                : []),
              { key: "operation", title: t("audit.operation"), cell: (entry) => t_or(`op.${entry.operation}`, entry.operation) },
              {
                key: "object",
                title: t("audit.object"),
                cell: (entry) => (
                  <>
                    {entry.object}
                    {entry.detail && <div class="small soft">{entry.detail}</div>}
                  </>
                ),
              },
              {
                key: "result",
                title: t("audit.result"),
                cell: (entry) => (
                  <Badge tone={entry.result === "ok" ? "good" : "bad"}>
                    {t_or(`result.${entry.result}`, entry.result ?? "")}
                  </Badge>
                ),
              },
            ]}
          />
          {more && (
            <p class="empty">
              <Button onClick={() => void load(entries)}>{t("logs.older")}</Button>
            </p>
          )}
        </Card>
      )}
    </>
  );
}

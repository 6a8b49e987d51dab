// SPDX-License-Identifier: Apache-2.0
// Who gets the tenant's records as they are stored, and how far behind each is. Nothing when there is nobody.
import { useEffect, useState } from "preact/hooks";
import { api } from "../api/methods";
import type { LogExportState } from "../api/types";
import { number, t } from "../text/text";
import { Badge, Card } from "../ui/basics";
import { Table } from "../ui/table";

export function Collectors({ tenant }: { tenant: string }) {
  const [exports, set_exports] = useState<LogExportState[]>([]);
  useEffect(() => {
    let gone = false;
    api.log_exports(tenant).then(
      (reply) => !gone && set_exports(reply.exports ?? []),
      () => !gone && set_exports([]), // the records' own question says what is wrong
    );
    return () => {
      gone = true;
    };
  }, [tenant]);
  if (!exports.length) return null;
  return (
    <Card flush title={t("collectors.title")}>
      <Table
        caption={t("collectors.title")}
        rows={exports}
        id={(one) => one.name ?? ""}
        columns={[
          { key: "name", title: t("collectors.name"), header: true, cell: (one) => one.name ?? "" },
          { key: "kind", title: t("collectors.kind"), cell: (one) => (one.kind ?? "").toUpperCase() },
          {
            key: "state",
            title: t("collectors.state"),
            cell: (one) => <Badge tone={one.up ? "good" : "bad"}>{t(one.up ? "collectors.up" : "collectors.down")}</Badge>,
          },
          { key: "waiting", title: t("collectors.waiting"), number: true, cell: (one) => number(one.waiting ?? 0) },
          { key: "lost", title: t("collectors.lost"), number: true, cell: (one) => number(one.lost ?? 0) },
          { key: "error", title: t("collectors.error"), cell: (one) => one.error ?? "" },
        ]}
      />
    </Card>
  );
}

// SPDX-License-Identifier: Apache-2.0
// Who is told of what, by mail and webhook: part of the draft. What is on its way, and a message to try a target with.
import { api } from "../api/methods";
import type { DeliveryState } from "../api/types";
import { draft } from "../state/draft";
import { session } from "../state/session";
import { useStore } from "../state/store";
import { moment, number, t, t_or, useLanguage } from "../text/text";
import { Act, Card, Loaded, Note, PageHead, useLoad } from "../ui/basics";
import { ItemList } from "../ui/item_list";
import { Table } from "../ui/table";
import { NOTIFICATIONS } from "./kinds";

export function Notifications() {
  useLanguage();
  const { tenant } = useStore(session)!;
  const in_force = (useStore(draft)?.before.notifications ?? []).map((one) => one.name);
  const list = useLoad(() => api.deliveries(tenant), [tenant], 10_000);
  return (
    <>
      <PageHead title={t("page.notifications")} lead={t("notify.lead")} />
      <div class="stack">
        <Loaded from={list}>
          {({ relay, webhooks }) => (
            <>
              {!relay && <Note tone="warn">{t("notify.no_relay")}</Note>}
              {!webhooks && <Note>{t("notify.no_webhooks")}</Note>}
            </>
          )}
        </Loaded>
        <ItemList kind={NOTIFICATIONS} />
        {in_force.length > 0 && (
          <Card title={t("notify.test")}>
            <p class="row">
              {in_force.map((name) => (
                <Act
                  key={name}
                  done={t("notify.tested", { name })}
                  run={async () => {
                    await api.test_notification(tenant, name);
                    list.again();
                  }}
                >
                  {t("notify.test_one", { name })}
                </Act>
              ))}
            </p>
          </Card>
        )}
        <Loaded from={list}>
          {({ deliveries = [] }) => (
            <Card flush title={t("notify.waiting", { n: deliveries.length })}>
              <Table<DeliveryState>
                caption={t("notify.waiting", { n: deliveries.length })}
                rows={deliveries}
                id={(one) => one.id}
                columns={[
                  { key: "event", title: t("notify.event"), header: true, cell: (one) => t_or(`event.${one.event}`, one.event) },
                  {
                    key: "target",
                    title: t("notify.target"),
                    cell: (one) => `${one.target || t("notify.managers")} (${t(one.webhook ? "notify.webhook" : "notify.mail")})`,
                  },
                  { key: "at", title: t("notify.at"), cell: (one) => <span class="nowrap">{moment(one.at)}</span> },
                  { key: "tries", title: t("notify.tries"), number: true, cell: (one) => number(one.tries ?? 0) },
                  { key: "error", title: t("notify.error"), cell: (one) => one.last_error },
                ]}
              />
            </Card>
          )}
        </Loaded>
      </div>
    </>
  );
}

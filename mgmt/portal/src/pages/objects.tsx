// SPDX-License-Identifier: Apache-2.0
import { useState } from "preact/hooks";
import { api, type Row } from "../api/methods";
import { draft } from "../state/draft";
import { useStore } from "../state/store";
import { number, t, useLanguage } from "../text/text";
import { PageHead, Tabs, useLoad } from "../ui/basics";
import { ItemList } from "../ui/item_list";
import { ADDRESSES, ADDRESS_GROUPS, NAT, SCHEDULES, SERVICES, SERVICE_GROUPS } from "./kinds";

const KINDS = [ADDRESSES, ADDRESS_GROUPS, SERVICES, SERVICE_GROUPS, SCHEDULES];

export function Objects() {
  useLanguage();
  const one = useStore(draft)!;
  const [tab, set_tab] = useState<string>("addresses");
  const count = (list: string) => ((one.document[list] as unknown[] | undefined) ?? []).length;
  return (
    <>
      <PageHead title={t("page.objects")} lead={t("objects.lead")} />
      <Tabs
        label={t("page.objects")}
        value={tab}
        onChange={set_tab}
        tabs={KINDS.map((kind) => ({ value: kind.list, text: `${t(kind.title)} (${count(kind.list)})` }))}
      />
      {KINDS.filter((kind) => kind.list === tab).map((kind) => (
        <ItemList key={kind.list} kind={kind} />
      ))}
    </>
  );
}

export function Nat() {
  useLanguage();
  const one = useStore(draft)!;
  const hits = useLoad(
    async () => new Map((await api.table(one.tenant, "nat")).rows.map((row) => [row["name"] ?? "", row])),
    [one.tenant, one.base],
    10_000,
  );
  const of = (name: string, key: string): string => number(Number((hits.value?.get(name) as Row | undefined)?.[key] ?? 0));
  return (
    <>
      <PageHead title={t("page.nat")} lead={t("nat.lead")} />
      <ItemList
        kind={NAT}
        extra={[
          { key: "connections", title: t("rules.hits"), number: true, cell: (item) => of(item.name, "connections") },
          { key: "sessions", title: t("home.open"), number: true, cell: (item) => of(item.name, "sessions") },
        ]}
      />
    </>
  );
}

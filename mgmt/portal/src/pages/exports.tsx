// SPDX-License-Identifier: Apache-2.0
// Who gets the tenant's records as they are stored: part of the draft; and how far behind each is now.
import { session } from "../state/session";
import { useStore } from "../state/store";
import { t, useLanguage } from "../text/text";
import { PageHead } from "../ui/basics";
import { ItemList } from "../ui/item_list";
import { Collectors } from "./collectors";
import { LOG_EXPORTS } from "./kinds";

export function Exports() {
  useLanguage();
  const { tenant } = useStore(session)!;
  return (
    <>
      <PageHead title={t("page.exports")} lead={t("exports.lead")} />
      <div class="stack">
        <ItemList kind={LOG_EXPORTS} />
        <Collectors tenant={tenant} />
      </div>
    </>
  );
}

// SPDX-License-Identifier: Apache-2.0
// Remote access: gateways, who may come in, and with what.
import { useState } from "preact/hooks";
import { save_blob } from "../api/http";
import { api } from "../api/methods";
import type { NamedItem } from "../api/types";
import { draft, may_edit, remove_item } from "../state/draft";
import { may } from "../state/session";
import { useStore } from "../state/store";
import { t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, Confirm, Dialog, IconButton, Note, PageHead, Tabs, useLoad } from "../ui/basics";
import { SelectField, TextField } from "../ui/fields";
import { ItemForm, ItemList } from "../ui/item_list";
import { DEVICES, DEVICE_POLICIES, GATEWAYS, POOLS, USERS, USER_GROUPS } from "./kinds";

const CLIENTS = ["windows", "apple", "android", "strongswan", "networkmanager"];
const words = (item: NamedItem, key: string): string[] => ((item[key] as unknown[] | undefined) ?? []).map(String);

/** What a gateway speaks. */
const protocols = (gateway: NamedItem): string[] => [
  ...(words(gateway, "accept").length ? ["IKEv2"] : []),
  ...["sstp", "l2tp", "pptp"].filter((one) => gateway[one]).map((one) => one.toUpperCase()),
];

/** Who answers for weak ciphers, and until when. */
function exception_of(gateway: NamedItem): string {
  const legacy = gateway["legacy"] as { owner?: string; valid_until?: string } | undefined;
  return legacy ? ` ${t("gateways.legacy_line", { owner: legacy.owner ?? "–", until: legacy.valid_until ?? "–" })}` : "";
}

export function Gateways() {
  useLanguage();
  const { document } = useStore(draft)!;
  const [profile, set_profile] = useState<string | null>(null);
  const [form, set_form] = useState<NamedItem | "new" | null>(null);
  const [removing, set_removing] = useState<string | null>(null);
  const gateways = document.gateways ?? [];
  const writable = may(GATEWAYS.action) && may_edit("gateways");
  return (
    <>
      <PageHead title={t("page.gateways")} lead={t("gateways.lead")}>
        {writable && (
          <Button icon="plus" onClick={() => set_form("new")}>
            {t("gateways.new")}
          </Button>
        )}
      </PageHead>
      <div class="stack">
        {!gateways.length && (
          <Card>
            <p class="empty">{t("gateways.none")}</p>
          </Card>
        )}
        <div class="grid">
          {gateways.map((gateway) => (
            <Card
              key={gateway.name}
              title={gateway.name}
              tools={
                <div class="row">
                  <Button look="quiet" icon="download" onClick={() => set_profile(gateway.name)}>
                    {t("gateways.profile")}
                  </Button>
                  {writable && (
                    <>
                      <IconButton
                        icon="edit"
                        label={t("act.edit_one", { name: gateway.name })}
                        onClick={() => set_form(gateway)}
                      />
                      <IconButton
                        icon="trash"
                        label={t("act.remove_one", { name: gateway.name })}
                        onClick={() => set_removing(gateway.name)}
                      />
                    </>
                  )}
                </div>
              }
            >
              <dl class="facts">
                <dt>{t("gateways.identity")}</dt>
                <dd class="mono">{String(gateway["identity"] ?? "")}</dd>
                <dt>{t("gateways.addresses")}</dt>
                <dd class="mono">{words(gateway, "addresses").join(", ")}</dd>
                <dt>{t("gateways.protocols")}</dt>
                <dd class="clauses">
                  {protocols(gateway).map((one) => (
                    <Badge key={one} tone={one === "PPTP" ? "warn" : ""}>
                      {one}
                    </Badge>
                  ))}
                </dd>
                <dt>{t("gateways.suites")}</dt>
                <dd>
                  <Badge tone={["legacy", "windows-default"].includes(String(gateway["profile"])) ? "warn" : "good"}>
                    {t_or(`suite.${String(gateway["profile"] ?? "modern")}`, String(gateway["profile"]))}
                  </Badge>
                  {exception_of(gateway)}
                </dd>
                <dt>{t("gateways.accept")}</dt>
                <dd class="clauses">
                  {words(gateway, "accept").map((one) => (
                    <Badge key={one}>{one}</Badge>
                  ))}
                </dd>
                <dt>{t("gateways.networks")}</dt>
                <dd class="mono">{words(gateway, "networks").join(", ") || t("rules.any")}</dd>
                <dt>{t("gateways.dns")}</dt>
                <dd class="mono">{[...words(gateway, "dns"), ...words(gateway, "dns_domains")].join(", ") || "–"}</dd>
                <dt>{t("gateways.certificates")}</dt>
                <dd>
                  {words(gateway, "certificates").length} · CA {words(gateway, "client_cas").length} · CRL{" "}
                  {words(gateway, "crls").length}
                </dd>
              </dl>
            </Card>
          ))}
        </div>
        <ItemList kind={POOLS} />
      </div>
      {form && <ItemForm kind={GATEWAYS} item={form === "new" ? null : form} onClose={() => set_form(null)} />}
      {removing !== null && (
        <Confirm
          title={t("act.remove_one", { name: removing })}
          text={t("gateways.remove_text")}
          act={t("act.remove")}
          onClose={() => set_removing(null)}
          onYes={async () => remove_item("gateways", removing)}
        />
      )}
      {profile && <ProfileDialog gateway={profile} onClose={() => set_profile(null)} />}
    </>
  );
}

function ProfileDialog({ gateway, onClose }: { gateway: string; onClose: () => void }) {
  const { tenant, document } = useStore(draft)!;
  const [client, set_client] = useState("windows");
  const [user, set_user] = useState("");
  return (
    <Dialog
      title={t("gateways.profile")}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act
            look="lead"
            icon="download"
            disabled={!user}
            run={async () => {
              const file = await api.vpn_profile(tenant, gateway, user, client);
              save_blob(file.file_name, new Blob([file.text]));
            }}
          >
            {t("act.download")}
          </Act>
        </>
      }
    >
      <div class="form">
        <p class="wide soft">{t("gateways.profile_text")}</p>
        <SelectField
          label={t("gateways.client")}
          value={client}
          onChange={set_client}
          options={CLIENTS.map((value) => ({ value, text: t_or(`client.${value}`, value) }))}
        />
        <TextField
          label={t("remote.user")}
          value={user}
          onChange={set_user}
          list={(document.users ?? []).map((one) => one.name)}
        />
      </div>
    </Dialog>
  );
}

export function Users() {
  useLanguage();
  const { tenant } = useStore(draft)!;
  const [tab, set_tab] = useState<"users" | "groups">("users");
  const state = useLoad(
    async () => new Map((await api.table(tenant, "vpn/users")).rows.map((row) => [row["user"] ?? "", row])),
    [tenant],
    10_000,
  );
  const of = (item: NamedItem) => state.value?.get(item.name);
  return (
    <>
      <PageHead title={t("page.users")} lead={t("remote.lead")} />
      <Tabs
        label={t("page.users")}
        value={tab}
        onChange={set_tab}
        tabs={[
          { value: "users", text: t("remote.users") },
          { value: "groups", text: t("remote.user_groups") },
        ]}
      />
      {tab === "groups" ? (
        <ItemList kind={USER_GROUPS} />
      ) : (
        <div class="stack">
          {may("users_edit") && <Note tone="warn">{t("remote.weak")}</Note>}
          <ItemList
            kind={USERS}
            extra={[
              {
                key: "in",
                title: t("remote.now"),
                cell: (item) => {
                  const row = of(item);
                  return row ? (
                    <Badge tone={row["state"] === "in" ? "good" : row["state"] === "shut out" ? "bad" : ""}>
                      {t_or(`user.${row["state"]}`, row["state"] ?? "")}
                    </Badge>
                  ) : (
                    <span class="soft">–</span>
                  );
                },
              },
              {
                key: "address",
                title: t("remote.address"),
                cell: (item) => <span class="mono">{of(item)?.["address"] || "–"}</span>,
              },
              {
                key: "unlock",
                title: t("rules.acts"),
                hide_title: true,
                cell: (item) =>
                  of(item)?.["state"] === "shut out" &&
                  may("sessions_end") && (
                    <Act
                      look="quiet"
                      done={t("remote.unlocked", { name: item.name })}
                      run={async () => {
                        await api.unlock_user(tenant, item.name);
                        state.again();
                      }}
                    >
                      {t("remote.unlock")}
                    </Act>
                  ),
              },
            ]}
          />
        </div>
      )}
    </>
  );
}

export function Devices() {
  useLanguage();
  return (
    <>
      <PageHead title={t("page.devices")} lead={t("remote.devices_lead")} />
      <div class="stack">
        <ItemList kind={DEVICES} />
        <ItemList kind={DEVICE_POLICIES} />
      </div>
    </>
  );
}
